r"""Votes on disk: written atomically, with the settings they belong to."""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyg_hiersmooth.files import one_line, replace_atomically

FORMAT = "pyg_hiersmooth votes 2"
FORMAT_WITHOUT_CHECKSUM = "pyg_hiersmooth votes 1"
SECONDS_BETWEEN_SAVES = 2.0
ADDED_LATER = ("adjacency", "trial logits", "num_classes", "approve")
r"""Settings that files of earlier versions lack; such files are continued nevertheless."""


class Counted(NamedTuple):
    r"""Votes and the number of samples that cast them, which only change together."""

    votes: Tensor
    r"""int64 ``[M, C]``, perhaps with more columns that add up over samples."""
    num_samples: int
    r"""Of the target that took the most samples, if their numbers differ."""

    @property
    def num_votes(self) -> int:
        r"""The number of votes on all targets together."""
        return int(self.votes.sum())

    @classmethod
    def none(cls, num_targets: int, width: int) -> Counted:
        r"""No votes yet."""
        return cls(torch.zeros(num_targets, width, dtype=torch.long), 0)

    def plus(self, votes: Tensor, num_samples: int) -> Counted:
        r"""These votes and those of more samples."""
        return Counted(self.votes + votes, self.num_samples + num_samples)


class VoteCheckpoint:
    r"""A file of votes that a run continues from, and no other run.

    Args:
        path (str or os.PathLike): The file, ``.npz``.
        settings (Mapping): All that the votes depend on, as JSON values; lists of floats may
            differ by rounding.
        anytime (bool): Whether each target may have a different number of votes, so that only
            bounds that hold at all numbers at once may be made of them. (default: :obj:`False`)
        fixed_n (int, optional): The number of votes that was fixed in advance; a run of another
            number is refused. (default: :obj:`None`)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        settings: Mapping[str, Any],
        *,
        anytime: bool = False,
        fixed_n: int | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self.settings = json.loads(json.dumps({"format": FORMAT, **settings}))
        self.number = {"anytime": anytime, "fixed_n": fixed_n}
        self._saved = (time.monotonic(), -1)

    def check(self, empty: Counted, num_samples: int) -> Counted:
        r"""Returns what was saved, or :obj:`empty` if there is no file yet; writes nothing.

        Raises:
            ValueError: If the file is damaged, of other settings, or holds more samples.
        """
        return self._found(empty, num_samples)[0]

    def _found(self, empty: Counted, num_samples: int) -> tuple[Counted, bool]:
        r"""What was saved, and whether the file already records the requested number of samples."""
        if not os.path.exists(self.path):
            return empty, False
        counted, settings = _read(self.path)
        for name, value in self.settings.items():
            if name in ADDED_LATER and name not in settings:
                continue
            if not same_setting(settings.get(name), value):
                raise ValueError(
                    f"checkpoint '{self.path}' was made with another '{name}': "
                    f"{settings.get(name)} there, {value} here"
                )
        self._check_number(settings)
        if counted.votes.shape != empty.votes.shape:
            raise ValueError(
                f"checkpoint '{self.path}' holds votes of shape {list(counted.votes.shape)}, "
                f"not {list(empty.votes.shape)}"
            )
        if counted.num_samples > num_samples:
            raise ValueError(
                f"checkpoint '{self.path}' holds {counted.num_samples} samples, more than the "
                f"{num_samples} asked for"
            )
        return counted, self.number.items() <= settings.items()

    def _check_number(self, kept: Mapping[str, Any]) -> None:
        # Older files record neither.
        if kept.get("anytime", False) != self.number["anytime"]:
            there, here = "with 'until'", "in a fixed number"
            if self.number["anytime"]:
                there, here = here, there
            raise ValueError(
                f"checkpoint '{self.path}' holds votes that were sampled {there}, which cannot "
                f"continue {here}: choose another place"
            )
        fixed = kept.get("fixed_n")
        if fixed not in (None, self.number["fixed_n"]):
            raise ValueError(
                f"checkpoint '{self.path}' was started with n={fixed}, and the bounds of Clopper "
                "and Pearson hold for a number of samples that is fixed in advance: keep it, or "
                "start again with 'until', which may continue "
                f"(got n={self.number['fixed_n']})"
            )

    def load(self, empty: Counted, num_samples: int) -> Counted:
        r"""As :meth:`check`, and writes the file, which then records the requested number of
        samples.

        Raises:
            ValueError: As :meth:`check`.
            OSError: If the folder cannot be written.
        """
        counted, says_number = self._found(empty, num_samples)
        self._saved = (time.monotonic(), counted.num_votes if says_number else -1)
        self.save(counted)
        return counted

    def save_sometimes(self, counted: Counted) -> None:
        r"""Saves if the last save was a while ago."""
        if time.monotonic() - self._saved[0] > SECONDS_BETWEEN_SAVES:
            self.save(counted)

    def save(self, counted: Counted) -> None:
        r"""Saves now, atomically, unless nothing has changed since the last save.

        Raises:
            OSError: If the disk is full or the folder cannot be written; the last save stays.
        """
        if counted.num_votes == self._saved[1]:
            return
        settings = json.dumps(self.settings | self.number)
        with replace_atomically(self.path) as file:
            np.savez_compressed(
                file,
                votes=counted.votes.numpy(),
                num_samples=counted.num_samples,
                settings=np.array(settings),
                checksum=np.array(_checksum(counted, settings)),
            )
        self._saved = (time.monotonic(), counted.num_votes)

    def set_aside(self, counted: Counted) -> str:
        r"""Moves invalid votes to a file that no run continues from, and returns its path."""
        self.save(counted)
        aside = f"{self.path}.refused"
        os.replace(self.path, aside)
        self._saved = (time.monotonic(), counted.num_votes)
        return aside


class RoundCheckpoint(VoteCheckpoint):
    r"""A file of votes as a round sees it that samples some of the targets from a sample on.

    Args:
        whole (VoteCheckpoint): The file.
        before (Counted): The votes of all targets before the round.
        positions (torch.Tensor): The targets of the round, int64 ``[K]``.
        start (int): Its first sample.
    """

    def __init__(
        self, whole: VoteCheckpoint, before: Counted, positions: Tensor, start: int
    ) -> None:
        self.whole, self.before, self.positions, self.start = whole, before, positions, start

    def load(self, empty: Counted, num_samples: int) -> Counted:
        return empty

    def save_sometimes(self, counted: Counted) -> None:
        self.whole.save_sometimes(self._with(counted))

    def save(self, counted: Counted) -> None:
        self.whole.save(self._with(counted))

    def set_aside(self, counted: Counted) -> str:
        return self.whole.set_aside(self._with(counted))

    def _with(self, counted: Counted) -> Counted:
        votes = self.before.votes.index_add(0, self.positions, counted.votes)
        most = max(self.before.num_samples, self.start + counted.num_samples)
        return Counted(votes, most)


def read_votes(path: str | os.PathLike[str]) -> tuple[Tensor, int, dict[str, Any]]:
    r"""Reads votes ``[M, C]``, the number of samples, and the settings they belong to.

    Raises:
        OSError: If there is no such file, or it cannot be read.
        ValueError: If it is not a file of votes, or is damaged.
    """
    counted, settings = _read(path)
    return counted.votes[:, : settings.get("num_classes")], counted.num_samples, settings


def _read(path: str | os.PathLike[str]) -> tuple[Counted, dict[str, Any]]:
    with open(path, "rb") as file:
        raw = file.read()
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
            settings = str(arrays["settings"])
            counted = Counted(torch.from_numpy(arrays["votes"]), int(arrays["num_samples"]))
            checksum = str(arrays["checksum"]) if "checksum" in arrays else None
        values = json.loads(settings)
        if values["format"] not in (FORMAT, FORMAT_WITHOUT_CHECKSUM):
            raise ValueError(f"unknown format {values['format']!r}")
        if values["format"] == FORMAT and checksum != _checksum(counted, settings):
            raise ValueError("its checksum does not match its content")
        taken = counted.votes[:, : values.get("num_classes")].sum(1).tolist()
        if values.get("anytime"):
            taken = [max(taken, default=counted.num_samples)]
        if any(each != counted.num_samples for each in taken):
            raise ValueError("the votes do not add up")
    except Exception as error:  # damaged bytes make their readers fail in many ways
        raise ValueError(f"'{path}' is not a file of votes: {one_line(error)}") from error
    return counted, values


def _checksum(counted: Counted, settings: str) -> str:
    return digest(
        fingerprint(counted.votes).encode(), str(counted.num_samples).encode(), settings.encode()
    )


def same_setting(kept: Any, value: Any) -> bool:
    r"""Whether two settings are the same; lists of floats may differ by rounding, of double
    precision if they have that many digits.
    """
    if isinstance(value, list) and isinstance(kept, list) and len(kept) == len(value):
        precise = any(len(f"{each!r}".lstrip("-0.").replace(".", "")) > 7 for each in value)
        tolerance = (1e-8 if precise else 1e-4) * max((abs(each) for each in value), default=0.0)
        return bool(np.allclose(kept, value, rtol=0.0, atol=tolerance))
    return bool(kept == value)


def digest(*parts: bytes | memoryview) -> str:
    r"""A short digest of bytes, of all parts as one."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()[:16]


def fingerprint(*tensors: Tensor) -> str:
    r"""A short digest of the values, shapes and dtypes of tensors."""
    parts: list[bytes | memoryview] = []
    for tensor in tensors:
        parts.append(f"{tensor.layout} {tensor.dtype} {list(tensor.shape)}".encode())
        if tensor.layout != torch.strided:
            tensor = tensor.to_sparse_coo().coalesce()
            parts.append(fingerprint(tensor.indices(), tensor.values()).encode())
        elif tensor.numel() > 0:
            raw = tensor.detach().cpu().contiguous().flatten()
            parts.append(raw.view(torch.uint8).numpy().data)
    return digest(*parts)
