"""Held-out samples of a run as pictures, neighbours and a map, for the page of the run.

The samples come from the data and the trained encoders, and go into one JSON file. No room below
imports this one; `multiview.report` reads the file without PyTorch.
"""
