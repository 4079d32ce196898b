r"""Benchmark datasets, splits, a synthetic citation network and synthetic molecules."""

from pyg_hiersmooth.choices import dataset_name
from pyg_hiersmooth.datasets.citation_sbm import CitationSBM
from pyg_hiersmooth.datasets.graph_splits import GraphSplit, split_graphs
from pyg_hiersmooth.datasets.load import load_dataset
from pyg_hiersmooth.datasets.published import PublishedGraph
from pyg_hiersmooth.datasets.random_molecules import RandomMolecules
from pyg_hiersmooth.datasets.splits import NodeSplit, inductive_subgraph, split_nodes

__all__ = [
    "CitationSBM",
    "GraphSplit",
    "NodeSplit",
    "PublishedGraph",
    "RandomMolecules",
    "dataset_name",
    "inductive_subgraph",
    "load_dataset",
    "split_graphs",
    "split_nodes",
]
