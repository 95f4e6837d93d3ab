"""Recipes: start one with `multiview train NAME`, or `accelerate launch -m multiview.recipes.NAME`."""
