"""Which samples there are: class folders, label files, tables, and the split of each sample.

A function belongs here when it finds ids, labels or splits without decoding what the files hold.
"""
