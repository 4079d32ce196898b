from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import numpy as np
from torch import Tensor

from pyg_hiersmooth.random import RandomStream
from pyg_hiersmooth.selection import Selection, as_selection


class SelectionPerType(Selection):
    r"""A selection for each of several node types, which smooth one type at a time.

    Nothing is certified for several types at once, so certificates for it are rejected.

    Args:
        by_type (dict): Selection, or probability, of each node type.

    Raises:
        ValueError: If there is no type, or a probability is out of range.
    """

    def __init__(self, by_type: Mapping[str, float | Tensor | Selection]) -> None:
        if not by_type:
            raise ValueError("'p' as a dictionary must name at least one node type (got {})")
        self.by_type = {node_type: as_selection(p) for node_type, p in by_type.items()}

    def sample(self, num_entities: int, stream: RandomStream) -> Tensor:
        self._refuse()

    def prob_all_selected(self, r: int, num_entities: int | np.ndarray | None = None) -> np.ndarray:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ValueError(
            f"'p' holds a selection for each of the node types {list(self.by_type)}, but votes "
            "and certificates cover the noise of one node type only"
        )

    def __repr__(self) -> str:
        return repr(self.by_type)
