"""Stores behind an address such as `s3://bucket/photos`: what goes over the network.

Whole files are fetched into a cache that all processes of a machine share, and sent from a folder.
No code here knows what a store holds.
"""
