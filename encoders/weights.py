"""Weights from a local file, under the import path that plugins know."""

from multiview.weights import load_weights as load_weights
