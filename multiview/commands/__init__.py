"""The actions of `multiview`'s commands and their options; `multiview/cli.py` is their table."""
