r"""Finished runs as one HTML file that needs nothing else: tables, curves, the graph, and a
certificate of each node at a click.
"""

from pyg_hiersmooth.report.page import write_report

__all__ = ["write_report"]
