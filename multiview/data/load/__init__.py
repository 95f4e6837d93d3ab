"""From what a user calls the data to batches: open it, choose the samples, cut the crops.

A function belongs here when training or evaluation calls it for each run, epoch or batch.
"""
