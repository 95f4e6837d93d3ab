"""From a source to a store: settings, shard jobs, the processes that run them, the lock, and the merge of parts.

A function belongs here when it writes into the folder of a store.
"""
