"""Which samples there are: class folders, label files, tables, and the split of each sample.

A function belongs here when it finds ids, labels or splits without decoding a file. May import
`files`, for example for the endings of image files.
"""
