r"""Results on disk: NumPy ``.npz`` files of settings and arrays, nothing pickled."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from pyg_hiersmooth.files import replace_atomically


def write_archive(
    path: str | os.PathLike[str], settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    r"""Writes settings that are JSON, and arrays, atomically."""
    text = json.dumps(settings)
    content: dict[str, Any] = {
        "settings": np.array(text),
        "checksum": np.array(_checksum(text, arrays)),
        **arrays,
    }
    with replace_atomically(path) as file:
        np.savez_compressed(file, **content)


def read_archive(
    content: bytes, *formats: str, unchecked: str | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    r"""The settings and the arrays that :func:`write_archive` wrote.

    Args:
        content (bytes): The content of the file.
        *formats: What ``settings["format"]`` may be.
        unchecked (str, optional): The format of files that may lack a checksum.
            (default: :obj:`None`)

    Raises:
        Exception: Of whatever kind zipfile, zlib, NumPy or JSON show damage by; and if it is of
            another format, or another content than was written.
    """
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    text = str(arrays.pop("settings"))
    settings = json.loads(text)
    if settings["format"] not in (*formats, unchecked):
        raise ValueError(f"unknown format {settings['format']!r}")
    if settings["format"] != unchecked and str(arrays.pop("checksum")) != _checksum(text, arrays):
        raise ValueError("its checksum does not match its content")
    return settings, arrays


def _checksum(settings: str, arrays: Mapping[str, np.ndarray]) -> str:
    r"""A digest of settings and arrays, which shows whether one of them was changed."""
    digest = hashlib.sha256(settings.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
