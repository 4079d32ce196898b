r"""Prediction sets on disk."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from pyg_hiersmooth.archive import read_archive, write_archive
from pyg_hiersmooth.files import one_line
from pyg_hiersmooth.serialization import noise_from_dict, selection_from_dict, to_dict

if TYPE_CHECKING:
    from pyg_hiersmooth.certificates.prediction_sets import PredictionSets

Loaded = TypeVar("Loaded", bound="PredictionSets")

FORMAT = "pyg_hiersmooth prediction sets 1"


def save(sets: PredictionSets, path: str | os.PathLike[str]) -> None:
    r"""Writes prediction sets, atomically."""
    values = {field.name: getattr(sets, field.name) for field in fields(sets)}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    smoothing = {name: to_dict(values[name]) for name in ("selection", "noise")}
    plain = {name: value for name, value in values.items() if name not in arrays}
    write_archive(path, {"format": FORMAT, **plain, **smoothing}, arrays)


def load(result: type[Loaded], path: str | os.PathLike[str]) -> Loaded:
    r"""Reads what :func:`save` wrote.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it holds no prediction sets, or is damaged.
    """
    content = Path(path).read_bytes()
    try:
        settings, arrays = read_archive(content, FORMAT)
        del settings["format"]
        settings["selection"] = selection_from_dict(settings["selection"])
        settings["noise"] = noise_from_dict(settings["noise"])
        return result(**settings, **arrays)
    except Exception as error:  # damage shows anywhere in zipfile, zlib, NumPy or JSON
        raise ValueError(
            f"'{path}' holds no prediction sets of pyg_hiersmooth: {one_line(error)}"
        ) from error
