"""Vectors of any data in one file, and the nearest samples in such a file."""
