"""Recipes: start one with `multiview train NAME`, or `accelerate launch recipes/NAME.py`."""
