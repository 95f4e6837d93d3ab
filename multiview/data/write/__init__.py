"""From a source to a store: plan, settings, shard jobs, the processes that run them, lock, merge.

A function belongs here when it writes into the folder of a store or prepares that.
"""
