r"""Prediction sets on disk: NumPy ``.npz`` files of arrays and settings, nothing pickled."""

from __future__ import annotations

import io
import json
import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pyg_hiersmooth.certificates.storage import checksum
from pyg_hiersmooth.files import one_line, replace_atomically
from pyg_hiersmooth.serialization import noise_from_dict, selection_from_dict, to_dict

if TYPE_CHECKING:
    from pyg_hiersmooth.certificates.prediction_sets import PredictionSets

Loaded = TypeVar("Loaded", bound="PredictionSets")

FORMAT = "pyg_hiersmooth prediction sets 1"


def save(sets: PredictionSets, path: str | os.PathLike[str]) -> None:
    r"""Writes prediction sets, atomically."""
    values = {field.name: getattr(sets, field.name) for field in fields(sets)}
    arrays: dict[str, Any] = {
        name: value for name, value in values.items() if isinstance(value, np.ndarray)
    }
    smoothing = {name: to_dict(values[name]) for name in ("selection", "noise")}
    plain = {name: value for name, value in values.items() if name not in arrays}
    settings = json.dumps({"format": FORMAT, **plain, **smoothing})
    with replace_atomically(path) as file:
        text, digest = np.array(settings), np.array(checksum(settings, arrays))
        np.savez_compressed(file, settings=text, checksum=digest, **arrays)


def load(result: type[Loaded], path: str | os.PathLike[str]) -> Loaded:
    r"""Reads what :func:`save` wrote.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it holds no prediction sets, or is damaged.
    """
    content = Path(path).read_bytes()
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        text, digest = str(arrays.pop("settings")), str(arrays.pop("checksum"))
        if digest != checksum(text, arrays):
            raise ValueError("its checksum does not match its content")
        settings = json.loads(text)
        if (kind := settings.pop("format")) != FORMAT:
            raise ValueError(f"unknown format {kind!r}")
        settings["selection"] = selection_from_dict(settings["selection"])
        settings["noise"] = noise_from_dict(settings["noise"])
        return result(**settings, **arrays)
    except Exception as error:  # damage shows anywhere in zipfile, zlib, NumPy or JSON
        raise ValueError(
            f"'{path}' holds no prediction sets of pyg_hiersmooth: {one_line(error)}"
        ) from error
