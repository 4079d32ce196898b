"""Certificates with ballots of any numbers, without a smoothed classifier."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from pyg_hiersmooth.certificates import Certificate, certify_counts, certify_votes
from pyg_hiersmooth.noise import AblationNoise, Noise
from pyg_hiersmooth.selection import PartitionSelection, Selection


def exact(
    counts: Any,
    start: int = 0,
    selection: Any = None,
    noise: Noise | None = None,
    num_entities: Any = None,
    **kept: Any,
) -> Certificate:
    """Approvals under all outcomes of a partition, of objects from a number on; what else is kept
    replaces what this made."""
    selection = PartitionSelection(10, 10) if selection is None else selection
    smoothing = SimpleNamespace(selection=selection, noise=noise or AblationNoise())
    counts = np.asarray(counts)
    certificate = certify_counts(
        smoothing,
        all_for_the_first(counts, selection.num_masks),
        index=np.arange(start, start + len(counts)),
        num_entities=num_entities,
        approvals=counts,
        approve=0.1,
    )
    return replace(certificate, **kept)


def sampled(
    counts: Any,
    selection: Selection,
    noise: Noise,
    n: int,
    start: int = 0,
    num_entities: Any = None,
    **kept: Any,
) -> Certificate:
    """Approvals in a fixed number of samples, of objects from a number on; what else is kept
    replaces what this made."""
    counts = np.asarray(counts)
    votes = all_for_the_first(counts, n)
    certificate = certify_votes(
        SimpleNamespace(selection=selection, noise=noise),
        votes,
        votes,
        index=np.arange(start, start + len(counts)),
        num_entities=num_entities,
        approvals=counts,
        approve=0.1,
    )
    return replace(certificate, **kept)


def all_for_the_first(counts: np.ndarray, n: int) -> np.ndarray:
    """Votes that do not matter where there are approvals."""
    votes = np.zeros_like(counts)
    votes[:, 0] = n
    return votes
