"""Published files of weights: which format a file is, and what of it goes where in an encoder."""

from multiview.weights.loading import load_into, load_weights
from multiview.weights.reading import Stored, read_file
from multiview.weights.report import Report
from multiview.weights.target import Target

__all__ = ("Report", "Stored", "Target", "load_into", "load_weights", "read_file")
