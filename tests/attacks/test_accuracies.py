from __future__ import annotations

from collections.abc import Callable

import pytest
from torch_geometric.data import Data

from pyg_hiersmooth.attacks import SmoothedAttack, attacked_accuracies
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.selection import PartitionSelection

Making = Callable[..., SmoothedNodeClassifier]


def test_a_node_that_fell_is_not_attacked_again(
    world: Data, credulous: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    smoothed = credulous(PartitionSelection(5, 1), "messages")
    certificate = smoothed.certify(world, node_index=[0, 1], progress=False, num_workers=0)
    attack, asked = SmoothedAttack(smoothed), []
    whole = SmoothedAttack.__call__

    def counting(self: SmoothedAttack, *arguments: object, **options: object) -> object:
        asked.append(arguments[2])
        return whole(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(SmoothedAttack, "__call__", counting)
    rows = attacked_accuracies(attack, world, certificate, [0, 1], [3, 2, 4], progress=False)
    assert [tuple(row) for row in rows] == [
        (2, 0.5, 0.5, 0.5),
        (3, 0.0, 0.0, 0.5),
        (4, 0.0, 0.0, 0.5),
    ]
    assert asked == [2, 3]
