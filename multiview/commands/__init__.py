"""The commands of `multiview`: one file for each group of commands, with their options.

`multiview/cli.py` lists them in one table.
"""
