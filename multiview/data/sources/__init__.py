"""What `multiview preprocess` can read: one file for each source, a frozen dataclass that an entry point names.

Only sources live here. What two of them share belongs to `listing`, `columns` or `files`.
"""
