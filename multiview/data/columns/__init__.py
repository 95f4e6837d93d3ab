"""What files or table cells become in a store: their modality, their shape and their reader.

A function belongs here when it decides how one column of a dataset is stored and several sources
share it, and so do the options of that decision. May import `listing` and `files`.
"""
