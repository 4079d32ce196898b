r"""Votes on disk: written atomically, with the settings they belong to."""

from __future__ import annotations

import hashlib
import json
import os
import time
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_hiersmooth.files import replace_atomically

FORMAT = "pyg_hiersmooth votes 1"
SECONDS_BETWEEN_SAVES = 2.0


class VoteCheckpoint:
    r"""A file of votes that a run continues from, and no other run.

    Args:
        path (str or os.PathLike): The file, ``.npz``.
        settings (Mapping): All that the votes depend on, as JSON values.
    """

    def __init__(self, path: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
        self.path = os.fspath(path)
        self.settings = json.loads(json.dumps({"format": FORMAT, **settings}))
        self._saved = (time.monotonic(), -1)

    def load(self, empty: Tensor, num_samples: int) -> tuple[Tensor, int]:
        r"""The votes that were saved and the number of their samples; :obj:`empty` and 0 where
        there is no file yet.

        Raises:
            ValueError: If the file is damaged, of other settings, or holds more samples.
            OSError: If the folder cannot be written.
        """
        if not os.path.exists(self.path):
            self.save(empty, 0)
            return empty, 0
        votes, done, settings = read_votes(self.path)
        for name, value in self.settings.items():
            if settings.get(name) != value:
                raise ValueError(
                    f"checkpoint '{self.path}' was made with another '{name}': "
                    f"{settings.get(name)} there, {value} here"
                )
        if votes.shape != empty.shape:
            raise ValueError(
                f"checkpoint '{self.path}' holds votes of shape {list(votes.shape)}, "
                f"not {list(empty.shape)}"
            )
        if done > num_samples:
            raise ValueError(
                f"checkpoint '{self.path}' holds {done} samples, more than the {num_samples} "
                "asked for"
            )
        self._saved = (time.monotonic(), done)
        return votes, done

    def save_sometimes(self, votes: Tensor, done: int) -> None:
        r"""Saves if the last save was a while ago."""
        if time.monotonic() - self._saved[0] > SECONDS_BETWEEN_SAVES:
            self.save(votes, done)

    def save(self, votes: Tensor, done: int) -> None:
        r"""Saves now, all or nothing; what is on disk already is not written again.

        Raises:
            OSError: If the disk is full or the folder cannot be written; the last save stays.
        """
        if done == self._saved[1]:
            return
        with replace_atomically(self.path) as file:
            settings = np.array(json.dumps(self.settings))
            np.savez_compressed(file, votes=votes.numpy(), num_samples=done, settings=settings)
        self._saved = (time.monotonic(), done)


def read_votes(path: str | os.PathLike[str]) -> tuple[Tensor, int, dict[str, Any]]:
    r"""Reads votes ``[M, C]``, the number of samples, and the settings they belong to.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a file of votes, or is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            settings = json.loads(str(file["settings"]))
            votes, done = torch.from_numpy(file["votes"]), int(file["num_samples"])
        if settings["format"] != FORMAT:
            raise ValueError(f"unknown format {settings['format']!r}")
        if votes.dim() != 2 or votes.dtype != torch.long or bool((votes.sum(1) != done).any()):
            raise ValueError("the votes do not add up")
    except (ValueError, KeyError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise
        raise ValueError(f"'{path}' is not a file of votes: {error}") from error
    return votes, done, settings


def digest(*parts: bytes) -> str:
    r"""A short digest of bytes."""
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def fingerprint(*tensors: Tensor) -> str:
    r"""A short digest of the values, shapes and dtypes of tensors."""
    parts = []
    for tensor in tensors:
        parts.append(f"{tensor.layout} {tensor.dtype} {list(tensor.shape)}".encode())
        if tensor.layout != torch.strided:
            tensor = tensor.to_sparse_coo().coalesce()
            parts.append(fingerprint(tensor.indices(), tensor.values()).encode())
        elif tensor.numel() > 0:
            raw = tensor.detach().cpu().contiguous().flatten()
            parts.append(raw.view(torch.uint8).numpy().tobytes())
    return digest(*parts)
