r"""Certificates on disk."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pyg_hiersmooth.archive import read_archive, write_archive
from pyg_hiersmooth.files import one_line
from pyg_hiersmooth.noise import Noise
from pyg_hiersmooth.selection import Selection
from pyg_hiersmooth.serialization import noise_from_dict, selection_from_dict, to_dict

if TYPE_CHECKING:
    from pyg_hiersmooth.certificates.certificate import Certificate

Loaded = TypeVar("Loaded", bound="Certificate")

FORMAT = "pyg_hiersmooth certificate 2"
BEFORE = "pyg_hiersmooth certificate 1"
r"""Files without a checksum."""


@dataclass
class StoredSmoothing:
    r"""The selection and the noise that a file names."""

    selection: Selection
    noise: Noise


def save(certificate: Certificate, path: str | os.PathLike[str]) -> None:
    r"""Writes a certificate, atomically."""
    values = {field.name: getattr(certificate, field.name) for field in fields(certificate)}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    smoothing = {name: to_dict(values[name]) for name in ("selection", "noise")}
    plain = {name: value for name, value in values.items() if name not in arrays}
    write_archive(path, {"format": FORMAT, **plain, **smoothing}, arrays)


def load(result: type[Loaded], path: str | os.PathLike[str]) -> Loaded:
    r"""Reads what :func:`save` wrote, and checks it like any other bounds.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not a certificate, is damaged, or lacks a part.
    """
    content = Path(path).read_bytes()
    try:
        settings, arrays = read_archive(content, FORMAT, unchecked=BEFORE)
        smoothing = StoredSmoothing(
            selection_from_dict(settings.pop("selection")), noise_from_dict(settings.pop("noise"))
        )
        settings.setdefault("entities", "entities")  # files from before they had a name
        if settings.pop("format") == BEFORE:
            _check_complete(smoothing, settings, arrays)
        return result.from_bounds(smoothing, **settings, **arrays)
    except Exception as error:  # damage shows anywhere in zipfile, zlib, NumPy or JSON
        raise ValueError(
            f"'{path}' is not a certificate of pyg_hiersmooth: {one_line(error)}"
        ) from error


def _check_complete(
    smoothing: StoredSmoothing, settings: dict[str, Any], arrays: dict[str, np.ndarray]
) -> None:
    r"""Refuses a file without a checksum that lacks what it must have been written with."""
    needed = {"index"}
    if settings.get("alpha") is not None or settings.get("n0") is not None:
        needed |= {"num_samples"}  # sampled by a classifier, or from votes
    listed = smoothing.selection.num_outcomes() is not None
    if listed and smoothing.noise.deterministic and not smoothing.noise.axes:
        needed |= {"largest_r", "num_samples"}
    missing = sorted(needed - set(arrays))
    if missing:
        raise ValueError(f"it lacks '{missing[0]}'")
