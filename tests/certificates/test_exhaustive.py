"""Certificates against every object, every outcome and whole families of classifiers.

An object has up to 4 entities of up to 3 binary features. A classifier is a table: a class for
each outcome ``(Z | tau)``. Its exact vote probabilities at *every* object follow from applying the
noise row by row, for each indicator in turn; no formula of the package is involved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
import torch

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.noise import AblationNoise, Noise, SparseFlipNoise
from pyg_hiersmooth.selection import BernoulliSelection, FixedSizeSelection, Selection

NUM_CLASSES = 3
NUM_SHARES = 10


@dataclass
class Smoothing:
    """A small world: all objects of a size, smoothed."""

    selection: Selection
    noise: Noise
    num_rows: int
    num_features: int

    def __post_init__(self) -> None:
        self.rows = np.array(list(product((0, 1), repeat=self.num_features)))
        self.objects = np.array(list(product(range(len(self.rows)), repeat=self.num_rows)))
        self.indicators = list(product((False, True), repeat=self.num_rows))
        self.weights = [indicator_probability(self.selection, tau) for tau in self.indicators]
        self.kernel = np.array([self.row_distribution(row) for row in self.rows])

    def row_distribution(self, row: np.ndarray) -> np.ndarray:
        """The distribution of a noisy row over all rows."""
        if isinstance(self.noise, SparseFlipNoise):
            flip = np.where(row == 1, self.noise.p_minus, self.noise.p_plus)
            return np.where(self.rows != row, flip, 1.0 - flip).prod(1)
        token = np.zeros(self.num_features) if self.noise.token is None else self.noise.token
        return (self.rows == np.asarray(token)).all(1).astype(float)

    def smooth(self, table: np.ndarray) -> np.ndarray:
        """Expectations at every object of a table ``[indicators, outcomes, ...]``."""
        shape = (len(self.rows),) * self.num_rows
        total = np.zeros(table.shape[1:])
        for tau, weight, values in zip(self.indicators, self.weights, table, strict=True):
            values = values.reshape(shape + values.shape[1:])
            for row in np.flatnonzero(tau):
                values = np.moveaxis(np.tensordot(self.kernel, values, (1, row)), 0, row)
            total += weight * values.reshape(total.shape)
        return total

    def outcome_distribution(self, index: int) -> np.ndarray:
        """The distribution of ``(tau, Z)`` at one object: ``[indicators, outcomes]``."""
        unchanged = np.eye(len(self.rows))
        masses = np.empty((len(self.indicators), len(self.objects)))
        for i, (tau, weight) in enumerate(zip(self.indicators, self.weights, strict=True)):
            mass = np.array([weight])
            for selected, row in zip(tau, self.objects[index], strict=True):
                one = self.kernel[row] if selected else unchanged[row]
                mass = np.multiply.outer(mass, one).ravel()
            masses[i] = mass
        return masses

    def distances(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows changed, ones added and ones deleted, from one object to every other."""
        change = self.rows[self.objects] - self.rows[self.objects[index]]
        changed = change.any(2).sum(1)
        return changed, (change == 1).sum((1, 2)), (change == -1).sum((1, 2))


def indicator_probability(selection: Selection, tau: tuple[bool, ...]) -> float:
    if isinstance(selection, FixedSizeSelection):
        total = len(list(combinations(range(len(tau)), selection.size)))
        return float(sum(tau) == selection.size) / total
    assert isinstance(selection, BernoulliSelection)
    p = np.broadcast_to(np.asarray(selection.p), len(tau))
    return float(np.where(tau, p, 1.0 - p).prod())


def random_tables(world: Smoothing, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Classes by a noisy linear score, and by chance with a favorite."""
    shape = len(world.indicators), len(world.objects)
    features = world.rows[world.objects].reshape(len(world.objects), -1)
    tau = np.array(world.indicators, dtype=float)
    for noise in (0.0, 0.3, 2.0):
        score = features @ generator.normal(size=(features.shape[1], NUM_CLASSES))
        score = score[None] + (tau @ generator.normal(size=(tau.shape[1], NUM_CLASSES)))[:, None]
        yield (score + noise * generator.normal(size=(*shape, NUM_CLASSES))).argmax(2)
    for lean in (0.7, 0.95):
        yield generator.choice(
            NUM_CLASSES, size=shape, p=[lean, *(1 - lean) * np.array([0.8, 0.2])]
        )


def adversarial_tables(
    world: Smoothing, clean: int, perturbed: int, generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """Class 0 where it costs the other object least, up to a given share of the votes."""
    at_clean = world.outcome_distribution(clean).ravel()
    at_perturbed = world.outcome_distribution(perturbed).ravel()
    ratio = at_perturbed / np.maximum(at_clean, 1e-300)
    ratio[(at_clean == 0) & (at_perturbed == 0)] = 1.0
    order = np.lexsort((generator.random(ratio.size), ratio))
    reached = at_clean[order].cumsum()
    shape = len(world.indicators), len(world.objects)
    for share in 1.0 - np.geomspace(1e-6, 0.5, NUM_SHARES):
        table = generator.choice([1, 2], size=ratio.size, p=[0.8, 0.2])
        table[order[reached <= share + 1e-12]] = 0
        yield table.reshape(shape)


def check_tables(
    world: Smoothing, tables: Iterator[np.ndarray], anchors: list[int] | None = None
) -> tuple[int, int]:
    """Compares all claims (about the anchors) with the truth, and counts the claims about other
    objects and the certified objects."""
    claims = checked = 0
    for table in tables:
        votes = world.smooth(np.eye(NUM_CLASSES)[table])
        assert votes.sum(1) == pytest.approx(1.0)
        prediction = votes.argmax(1)
        ranked = np.sort(votes, axis=1)
        for kind in ("multiclass", "binary"):
            certificate = Certificate.from_bounds(
                world,
                prediction,
                np.clip(ranked[:, -1], 0, 1),
                None if kind == "binary" else np.clip(ranked[:, -2], 0, 1),
                kind,
                num_entities=world.num_rows,
            )
            claims += check_claims(world, certificate, votes, anchors)
            checked += len(certificate)
    return claims, checked


def check_claims(
    world: Smoothing, certificate: Certificate, votes: np.ndarray, anchors: list[int] | None
) -> int:
    size = world.num_rows * world.num_features
    is_flips = isinstance(world.noise, SparseFlipNoise)
    grid = certificate.grid(world.num_rows, *((size, size) if is_flips else ()))
    claims = 0
    for index in range(len(certificate)) if anchors is None else anchors:
        changed, added, deleted = world.distances(index)
        claimed = grid[index, changed, added, deleted] if is_flips else grid[index, changed]
        others = np.delete(votes, certificate.prediction[index], axis=1).max(1)
        ours = votes[:, certificate.prediction[index]]
        truth = ours > (0.5 if certificate.kind == "binary" else others)
        assert not (claimed & ~truth).any(), (world, index, np.flatnonzero(claimed & ~truth))
        claims += int(claimed[changed > 0].sum())
    for r in range(world.num_rows + 1):
        budget: dict[str, Any] = {"additions": 1, "deletions": 2} if is_flips else {}
        cell = (slice(None), r, 1, 2) if is_flips else (slice(None), r)
        if size >= 2:
            assert np.array_equal(certificate.is_robust(r, **budget), grid[cell])
    return claims


SELECTIONS: list[tuple[str, Any]] = [
    ("p=0.8", lambda n: BernoulliSelection(0.8)),
    ("p=0.97", lambda n: BernoulliSelection(0.97)),
    ("p=1", lambda n: BernoulliSelection(1.0)),
    ("own p", lambda n: BernoulliSelection(torch.tensor([0.9, 0.7, 1.0, 0.95][:n]).double())),
    ("fixed", lambda n: FixedSizeSelection(max(n - 1, 1))),
]
NOISES = [
    SparseFlipNoise(0.1, 0.6),
    SparseFlipNoise(0.3, 0.3),
    SparseFlipNoise(0.4, 0.6),
    SparseFlipNoise(0.45, 0.45),
    SparseFlipNoise(0.7, 0.6),
    SparseFlipNoise(0.0, 0.7),
    SparseFlipNoise(0.6, 0.0),
    SparseFlipNoise(0.0, 0.0),
    SparseFlipNoise(1.0, 0.8),
    AblationNoise(),
    AblationNoise(torch.tensor([1.0])),
]


SHAPES = [(1, 1), (1, 3), (2, 1)]
LARGER = [(2, 2), (3, 1), (2, 3), (3, 2), (4, 1)]


@pytest.mark.parametrize(
    "shape", [*SHAPES, *(pytest.param(shape, marks=pytest.mark.slow) for shape in LARGER)]
)
def test_no_claim_is_ever_contradicted(
    shape: tuple[int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    generator = np.random.default_rng(shape)
    claims = objects = tables = 0
    for (_, selection), noise in product(SELECTIONS, NOISES):
        if isinstance(noise, AblationNoise) and noise.token is not None and shape[1] != 1:
            noise = AblationNoise(torch.ones(shape[1]))
        world = Smoothing(selection(shape[0]), noise, *shape)
        found = check_tables(world, random_tables(world, generator))
        claims, objects, tables = claims + found[0], objects + found[1], tables + 5
        for _ in range(2):
            clean = int(generator.integers(len(world.objects)))
            changed = world.distances(clean)[0]
            for r in range(1, min(shape[0], 2) + 1):
                perturbed = int(generator.choice(np.flatnonzero(changed == r)))
                found = check_tables(
                    world, adversarial_tables(world, clean, perturbed, generator), [clean]
                )
                claims, objects, tables = claims + found[0], objects + found[1], tables + NUM_SHARES
    with capsys.disabled():
        print(
            f"\n{shape}: {tables} classifiers, {objects} objects, {claims} other objects within a "
            "certified ball, none contradicted"
        )
    assert claims > 1_000


@pytest.mark.parametrize("noise", [SparseFlipNoise(0.1, 0.6), SparseFlipNoise(0.7, 0.6)], ids=str)
@pytest.mark.parametrize("selection", [BernoulliSelection(0.9), FixedSizeSelection(3)], ids=str)
def test_no_claim_of_the_largest_world_is_contradicted(
    selection: Selection, noise: Noise, capsys: pytest.CaptureFixture[str]
) -> None:
    world = Smoothing(selection, noise, 4, 3)
    generator = np.random.default_rng(0)
    clean = int(generator.integers(len(world.objects)))
    changed = world.distances(clean)[0]
    perturbed = int(generator.choice(np.flatnonzero(changed == 2)))
    tables = list(adversarial_tables(world, clean, perturbed, generator))[::2]
    claims, objects = check_tables(world, iter(tables), [clean])
    with capsys.disabled():
        print(
            f"\n(4, 3): {len(tables)} classifiers, {objects} objects, {claims} other objects "
            "within a certified ball, none contradicted"
        )
    assert claims > 0
