"""A trained run as a folder that needs no data, no recipe and no code of the user.

`write_model` writes the folder, and `read_model` gives the model that computes features from it.
"""
