"""From the words with which a user names the data to batches: open, choose samples, cut crops.

A function belongs here when training or evaluation calls it for each run, epoch or batch.
"""
