"""Recipes; `multiview train NAME` and `accelerate launch -m multiview.recipes.NAME` start one."""
