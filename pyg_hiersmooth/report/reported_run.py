r"""What a report reads of one run."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.datasets import load_dataset
from pyg_hiersmooth.experiment import RunFolder, Settings
from pyg_hiersmooth.experiment.summary import Summary
from pyg_hiersmooth.models.registry import MODELS

DESCRIBED = (
    *("groups", "partitions", "p", "p_plus", "p_minus", "std", "scale"),
    *("edges_groups", "edges_partitions", "edges_p", "edges_p_plus", "edges_p_minus"),
    *("n0", "n", "alpha"),
)
r"""The settings that stand below the name of a run."""


@dataclass(frozen=True, eq=False)
class ReportedRun:
    r"""A finished run.

    Attributes:
        name (str): What it is called among others.
        key (str): The same as a name in the page's own code.
        folder (RunFolder): Where it is kept.
        settings (Settings): What was asked.
        summary (Summary): What came out.
        versions (dict): The libraries that it was made with.
        certificate (Certificate or None): The certificate; :obj:`None` without noise.
        y (numpy.ndarray): Labels of the certified objects, int64 ``[M]``.
        edges (numpy.ndarray or None): Edges of the graph, int64 ``[2, E]``; :obj:`None` where
            there are many graphs, or the data are not at hand.
    """

    name: str
    key: str
    folder: RunFolder
    settings: Settings
    summary: Summary
    versions: dict[str, Any]
    certificate: Certificate | None
    y: np.ndarray
    edges: np.ndarray | None

    @classmethod
    def read(cls, path: str | os.PathLike[str], name: str, key: str = "run") -> ReportedRun:
        r"""Reads a finished run from its folder.

        Raises:
            ValueError: If there is none, it is not finished, or a file is damaged.
            OSError: If a file cannot be read.
        """
        folder = RunFolder(path)
        settings, summary = folder.read_settings(), folder.read_summary()
        if summary is None:
            raise folder.unfinished()
        certificate = folder.read_certificate() if settings.smooths else None
        versions = json.loads(folder.settings.read_text(encoding="utf-8")).get("versions", {})
        labels, edges = folder.read_labels(), _edges(settings)
        return cls(name, key, folder, settings, summary, versions, certificate, labels, edges)

    @property
    def described(self) -> str:
        r"""The dataset and the settings that decide a certificate, in a line."""
        told = (
            f"{name} = {value:,}" if isinstance(value, int) else f"{name} = {value:g}"
            for name in DESCRIBED
            if (value := self.settings.options.get(name)) is not None
        )
        return ", ".join([self.settings.data.dataset, *told, f"seed {self.settings.seed}"])

    @property
    def at_will(self) -> bool:
        r"""Whether its adversary changes nodes at will, as there is no budget."""
        return self.certificate is not None and not self.certificate.noise.axes

    @property
    def covers_budgets(self) -> bool:
        r"""Whether its certificates hold against any budget of changed features as well, as they
        are about features that change to anything.
        """
        return self.at_will and self.certificate.noise.fixes_graph  # type: ignore[union-attr]

    @property
    def noun(self) -> str:
        r"""What was certified: nodes or graphs."""
        return f"{self.settings.data.task}s"


def run_title(settings: Settings) -> str:
    r"""Model and noise: ``"APPNP, flips"``."""
    own = MODELS[settings.data.task].get(settings.data.model)
    name = settings.data.model.split(":")[-1] if own is None else own.__name__
    if own is not None and settings.data.task == "graph":
        name = name.removeprefix("Graph")
    if not settings.smooths:
        return f"{name}, no noise"
    noises = [] if settings.smoothing.noise == "none" else [settings.smoothing.noise]
    if settings.pairs is not None:
        noises.append(f"{settings.pairs.edges} of edges")
    return f"{name}, {'exact ' if settings.exact else ''}{' and '.join(noises)}"


def _edges(settings: Settings) -> np.ndarray | None:
    if settings.data.task != "node":
        return None
    try:
        (graph,) = load_dataset(settings.data.dataset, settings.data.root)
    except (OSError, RuntimeError, ValueError):  # the report does without a picture of it
        return None
    return graph.edge_index.numpy()
