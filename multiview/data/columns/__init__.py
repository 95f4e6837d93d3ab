"""What a file or a table cell becomes in a store: its modality, its shape, and the function that reads it.

A function belongs here when several sources share it and it decides how one column of a dataset is stored.
"""
