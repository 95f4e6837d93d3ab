"""Bytes to arrays: one file for each kind of file that can be read (images, sound, video, arrays).

A function belongs here when it takes a path or bytes and returns an array or a header. A file that
cannot be read raises `BadSample` with the file's name. May import only `multiview.data` above.
"""
