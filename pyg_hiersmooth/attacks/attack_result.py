from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch_geometric.data import Data

from pyg_hiersmooth.archive import read_archive, write_archive
from pyg_hiersmooth.attacks.changes import Changes
from pyg_hiersmooth.certificates.checks import check_integers
from pyg_hiersmooth.extras import require
from pyg_hiersmooth.files import one_line

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "pyg_hiersmooth attack 1"

MASKS = ("certified", "fallen", "contradicted")
ARRAYS = ("index", "prediction", *MASKS, "votes")
PARTS = ("nodes", "x", "removed", "added")


@dataclass(frozen=True, eq=False, repr=False)
class AttackResult:
    r"""What attacks within the threat of a certificate did to :math:`M` nodes, each attacked on a
    separate graph.

    Attributes:
        threat (str): The adversary, in one sentence.
        budget (dict): ``r``, what else bounds it, and ``only`` where less than the threat was
            tried.
        index (numpy.ndarray): The nodes, int64 ``[M]``.
        prediction (numpy.ndarray): What their certificate predicts, int64 ``[M]``; -1 where it
            abstains, and nothing was attacked.
        certified (numpy.ndarray): Whether it says that no such adversary changes that, bool
            ``[M]``.
        fallen (numpy.ndarray): Whether an attack changed it, bool ``[M]``.
        contradicted (numpy.ndarray): Whether a certified prediction fell, and the certificate of
            the attacked graph is of another class, bool ``[M]``.
        votes (numpy.ndarray): The votes for each node on its attacked graph, int64 ``[M, C]``.
        graph (Data): The clean graph, of ``x`` and ``edge_index``.
        changes (sequence of Changes): What the attack on each node changed of it.
    """

    threat: str
    budget: dict[str, Any]
    index: np.ndarray
    prediction: np.ndarray
    certified: np.ndarray
    fallen: np.ndarray
    contradicted: np.ndarray
    votes: np.ndarray
    graph: Data
    changes: Sequence[Changes]

    def __post_init__(self) -> None:
        arrays = (self.index, self.prediction, self.certified, self.fallen, self.contradicted)
        if any(len(each) != len(self.index) for each in (*arrays, self.votes, self.changes)):
            raise ValueError("the parts of an attack must describe the same number of nodes")

    def __len__(self) -> int:
        return len(self.index)

    def accuracy(self, y: ArrayLike) -> float:
        r"""The share of nodes whose prediction is correct and did not fall: at least what is left
        in the worst case, since a stronger attack may exist. :obj:`y`: labels, integers ``[M]``.
        """
        return self._share(y, ~self.fallen)

    def certified_accuracy(self, y: ArrayLike) -> float:
        r"""The share of nodes whose prediction is correct and certified: at most what is left in
        the worst case. :obj:`y` as in :meth:`accuracy`.
        """
        return self._share(y, self.certified)

    def clean_accuracy(self, y: ArrayLike) -> float:
        r"""The share of nodes whose prediction is correct; :obj:`y` as in :meth:`accuracy`."""
        return self._share(y, np.ones(len(self), dtype=bool))

    def attacked(self, position: int) -> Data:
        r"""The graph, of ``x`` and ``edge_index``, on which the node at a position was attacked."""
        return self.changes[position].applied(self.graph)

    def to_frame(self, y: ArrayLike | None = None) -> pd.DataFrame:
        r"""One row per node, with its label if :obj:`y` is given. Needs the extra ``frame``."""
        columns = {
            "index": self.index,
            "prediction": self.prediction,
            **{name: getattr(self, name) for name in MASKS},
            "attacked_prediction": np.where(self.prediction < 0, -1, self.votes.argmax(1)),
        }
        if y is not None:
            columns["y"] = check_integers("y", y, len(self))
        table = require("pandas", extra="frame").DataFrame(columns)
        table.attrs["threat"] = self.threat
        return table

    def save(self, path: str | os.PathLike[str]) -> None:
        r"""Writes a NumPy ``.npz`` file without pickled objects, atomically."""
        arrays = {name: getattr(self, name) for name in ARRAYS}
        for name in PARTS:
            parts = [getattr(each, name).cpu() for each in self.changes]
            along = 1 if name == "added" else 0
            arrays[f"{name}_sizes"] = np.array([part.size(along) for part in parts], np.int64)
            empty = getattr(Changes.of(self.graph), name).cpu()
            arrays[f"changed_{name}"] = torch.cat([empty, *parts], dim=along).numpy()
        arrays |= {"x": self.graph.x.cpu().numpy()}
        arrays |= {"edge_index": self.graph.edge_index.cpu().numpy()}
        settings = {"format": FORMAT, "threat": self.threat, "budget": self.budget}
        write_archive(path, settings, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> AttackResult:
        r"""Reads what :meth:`save` wrote.

        Raises:
            OSError: If the file cannot be read.
            ValueError: If it holds something else, or is damaged.
        """
        content = Path(path).read_bytes()
        try:
            settings, arrays = read_archive(content, FORMAT)
            graph = Data(**{name: torch.from_numpy(arrays[name]) for name in ("x", "edge_index")})
            parts = [_split(arrays, name) for name in PARTS]
            return cls(
                threat=settings["threat"],
                budget=settings["budget"],
                graph=graph,
                changes=[Changes(*each) for each in zip(*parts, strict=True)],
                **{name: arrays[name] for name in ARRAYS},
            )
        except Exception as error:  # damage shows anywhere in zipfile, zlib, NumPy or JSON
            raise ValueError(
                f"'{path}' is not an attack of pyg_hiersmooth: {one_line(error)}"
            ) from error

    def _share(self, y: ArrayLike, stays: np.ndarray) -> float:
        right = (self.prediction == check_integers("y", y, len(self))) & (self.prediction >= 0)
        return float((right & stays).sum() / max(len(self), 1))

    def __repr__(self) -> str:
        budget = ", ".join(f"{name}={value}" for name, value in self.budget.items())
        return (
            f"{self.__class__.__name__}({len(self)} nodes, {budget}: {self.fallen.sum()} fell, "
            f"{self.certified.sum()} certified, {self.contradicted.sum()} contradicted)"
        )


def _split(arrays: dict[str, np.ndarray], name: str) -> tuple[Tensor, ...]:
    along = 1 if name == "added" else 0
    changed = torch.from_numpy(arrays[f"changed_{name}"])
    return changed.split(arrays[f"{name}_sizes"].tolist(), dim=along)
