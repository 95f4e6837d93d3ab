"""What `multiview preprocess` can read. Each source is a frozen dataclass found by its entry point, ours like a
stranger's.
"""
