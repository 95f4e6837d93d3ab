"""Graphs as values: views, encoders and edges that are named, from Python, YAML or options.

`values.py` has the values, `reading.py` reads them from YAML (`yamlfile.py`) and from the command
line (`words.py`), `writing.py` writes them, and `building.py` turns them into a `Setup`.
"""

from multiview.graphs.values import Graph, GraphEdge, GraphView

__all__ = ["Graph", "GraphEdge", "GraphView"]
