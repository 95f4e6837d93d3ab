"""Recipes: short programs run by `accelerate launch recipes/NAME.py`, or `multiview train NAME`."""
