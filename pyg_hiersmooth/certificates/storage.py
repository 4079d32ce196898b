r"""Certificates on disk: NumPy ``.npz`` files of arrays and settings, nothing pickled."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pyg_hiersmooth.files import replace_atomically
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
    settings = json.dumps({"format": FORMAT, **plain, **smoothing})
    content: dict[str, Any] = {
        "settings": np.array(settings),
        "checksum": np.array(checksum(settings, arrays)),
        **arrays,
    }
    with replace_atomically(path) as file:
        np.savez_compressed(file, **content)


def load(result: type[Loaded], path: str | os.PathLike[str]) -> Loaded:
    r"""Reads what :func:`save` wrote, and checks it like any other bounds.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not a certificate, is damaged, or lacks a part.
    """
    content = Path(path).read_bytes()
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        text = str(arrays.pop("settings"))
        settings = json.loads(text)
        smoothing = StoredSmoothing(
            selection_from_dict(settings.pop("selection")), noise_from_dict(settings.pop("noise"))
        )
        kind = settings.pop("format")
        if kind == BEFORE:
            _check_complete(smoothing, settings, arrays)
        elif kind != FORMAT:
            raise ValueError(f"unknown format {kind!r}")
        elif str(arrays.pop("checksum")) != checksum(text, arrays):
            raise ValueError("its checksum does not match its content")
        return result.from_bounds(smoothing, **settings, **arrays)
    except Exception as error:  # damage shows anywhere in zipfile, zlib, NumPy or JSON
        raise ValueError(f"'{path}' is not a certificate of pyg_hiersmooth: {error}") from error


def checksum(settings: str, arrays: Mapping[str, np.ndarray]) -> str:
    r"""A digest of settings and arrays, which shows whether one of them was changed."""
    digest = hashlib.sha256(settings.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


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
