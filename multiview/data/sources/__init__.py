"""What `multiview preprocess` can read: one frozen dataclass per source, named by an entry point.

Only sources live here. What two sources share belongs to `columns`, `listing` or `files`.
"""
