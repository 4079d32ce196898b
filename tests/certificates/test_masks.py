"""What single masks say, against every set of changed entities."""

from __future__ import annotations

from itertools import combinations, product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from pyg_hiersmooth.certificates import certify_counts, largest_certified_r
from pyg_hiersmooth.noise import AblationNoise
from pyg_hiersmooth.selection import PartitionSelection

NUM_CLASSES = 3


def truth(answers: np.ndarray, groups: np.ndarray, field: np.ndarray) -> int:
    """The largest r that no set of r entities overcomes, by trying all of them: each mask that
    exposes one of the field answers what the adversary likes."""
    num_partitions, num_entities = groups.shape
    num_groups = len(answers) // num_partitions
    partition, group = np.divmod(np.arange(len(answers)), num_groups)
    exposed = groups[partition] == group[:, None]
    counts = np.bincount(answers, minlength=NUM_CLASSES)
    majority = int(counts.argmax())
    largest = -1
    for r in range(num_entities + 1):
        for rows in combinations(range(num_entities), r):
            changed = [row for row in rows if field[row]]
            hit = exposed[:, changed].any(1)
            kept = np.bincount(answers[~hit], minlength=NUM_CLASSES)
            others = np.delete(kept, majority)
            if kept[majority] <= others.max() + hit.sum():
                return largest
        largest = r
    return largest


@pytest.mark.parametrize("num_entities", [1, 3, 5])
@pytest.mark.parametrize(("num_groups", "num_partitions"), [(2, 1), (3, 2), (4, 3), (6, 2)])
def test_no_set_of_entities_contradicts_a_claim(
    num_entities: int, num_groups: int, num_partitions: int
) -> None:
    generator = np.random.default_rng([num_entities, num_groups])
    groups = PartitionSelection(num_groups, num_partitions).groups(num_entities).numpy()
    num_masks, num_targets = num_groups * num_partitions, 60
    lean = generator.choice([0.6, 0.9, 1.0], size=num_targets)
    answers = np.where(
        generator.random((num_masks, num_targets)) < lean,
        0,
        generator.integers(0, NUM_CLASSES, (num_masks, num_targets)),
    )
    field = generator.random((num_targets, num_entities)) < 0.6
    for given in (None, field, sparse.coo_array(field)):
        reach = np.ones_like(field) if given is None else field
        claimed = largest_certified_r(answers, groups, given)
        true = np.array([truth(answers[:, i], groups, reach[i]) for i in range(num_targets)])
        assert (claimed <= true).all()
        assert np.array_equal(claimed < 0, true < 0)
        # What one entity can do is known exactly.
        assert np.array_equal(claimed >= 1, true >= 1)
        votes = (answers[..., None] == np.arange(NUM_CLASSES)).sum(0)
        smoothing: Any = SimpleNamespace(
            selection=PartitionSelection(num_groups, num_partitions), noise=AblationNoise()
        )
        counted = certify_counts(smoothing, votes, num_entities=num_entities).largest_r
        assert counted is not None and (claimed >= counted).all()


def test_no_values_contradict_a_claim() -> None:
    """Classifiers of what a mask exposes of a target's receptive field, at every object."""
    objects = np.array(list(product(range(3), repeat=4)))
    generator = np.random.default_rng(0)
    selection = PartitionSelection(5, 2)
    field = np.array([True, False, False, True])
    shown = np.stack([~selection.mask(i, [4]).numpy() for i in range(selection.num_masks)])
    distance = (objects[:, None] != objects).sum(2)
    beyond = 0
    for lean in (0.7, 0.8, 0.9, 0.95) * 10:
        answers = np.empty((len(shown), len(objects)), dtype=np.int64)
        for mask, visible in enumerate(shown):
            table = generator.choice(2, size=(3,) * 4, p=[lean, 1 - lean])
            answers[mask] = table[tuple(np.where(visible & field, objects, 0).T)]
        claimed = largest_certified_r(
            answers, selection.groups(4), np.tile(field, (len(objects), 1))
        )
        ones = answers.sum(0)
        stays = 2 * np.stack([len(shown) - ones, ones]) > len(shown)
        counted = (np.abs(len(shown) - 2 * ones) - 1) // 4  # of two partitions
        for index in np.flatnonzero(claimed >= 0):
            prediction = int(2 * ones[index] > len(shown))
            assert stays[prediction, distance[index] <= claimed[index]].all()
            beyond += int(claimed[index] > max(counted[index], 0))
    assert beyond > 50  # more than counts alone say


def test_where_masks_say_more_than_counts() -> None:
    groups = np.array([[0, 1, 2, 3, 0, 1]])
    answers = np.array([0, 0, 0, 1])[:, None]
    assert largest_certified_r(answers, groups).tolist() == [0]  # 3 - 1 is not more than 2
    reach = np.array([[False, False, False, True, False, False]])
    # The only entity in reach is exposed by the mask that answers the rival already.
    assert largest_certified_r(answers, groups, reach).tolist() == [6]
    # No entity in reach: nothing changes anything; a tie is no majority whatever the reach.
    assert largest_certified_r(answers, groups, 0 * reach).tolist() == [6]
    assert largest_certified_r([[0], [1]], [[0, 1]], [[False, False]]).tolist() == [-1]
    # Entities 0 and 4 share their group: no two of them hit more than one mask.
    reach = np.array([[True, False, False, False, True, False]])
    assert largest_certified_r(np.zeros((4, 1), int), groups, reach).tolist() == [6]
    assert largest_certified_r(np.zeros((4, 1), int), groups).tolist() == [1]


@pytest.mark.parametrize(
    ("answers", "groups", "field", "message"),
    [
        ([[0], [1], [0]], [[0, 1], [1, 0]], None, r"K=2 partitions .*got shape \[3, 1\]"),
        ([0, 1], [[0, 1]], None, "'answers' must be integers"),
        ([[0.5], [1.0]], [[0, 1]], None, "'answers' must be integers"),
        ([[0], [1]], [0, 1], None, "'groups' must be integers"),
        ([[0], [1]], [[0, 2]], None, r"'groups' must lie in \[0, 2\) \(got 0 to 2"),
        ([[0], [1]], [[0, -1]], None, "'groups' must lie in"),
        ([[0], [1]], [[0, 1]], [[True]], r"shape \[1, 2\], targets by entities \(got \[1, 1\]"),
        ([[0], [1]], [[0, 1]], [[0.5, 1.0]], "'receptive_field' must be bool"),
    ],
)
def test_bad_input(answers: Any, groups: Any, field: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        largest_certified_r(answers, groups, field)
