"""Thermal cameras for multiview-cmc: a source, a view, an encoder and a recipe."""
