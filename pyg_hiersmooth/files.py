r"""Files that are never half written."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO


@contextmanager
def replace_atomically(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    r"""Opens a temporary file that replaces :obj:`path` only when it is complete and on disk; after
    any error, the old file is still there.

    Raises:
        OSError: If the folder does not exist, cannot be written or is full.
    """
    folder, name = os.path.split(os.path.abspath(path))
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, os.fspath(path)) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):  # Ctrl-C may come just after the file took its place
            os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def one_line(error: BaseException) -> str:
    r"""What an error says, in one line of printable characters."""
    words = "".join(c if c.isprintable() else " " for c in str(error)).split()
    return " ".join(words)[:300] or type(error).__name__


class JsonLines:
    r"""A file of one JSON object per line that only grows.

    A line that a crash cut short counts as never written. Processes that append at the same time
    wait for each other, but not on Windows.

    Args:
        path (str): The file; it need not exist yet.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def read(self) -> list[dict[str, Any]]:
        r"""All objects, in the order in which they were written.

        Raises:
            ValueError: If a line is not a JSON object.
            OSError: If the file cannot be read.
        """
        if not self.path.exists():
            return []
        records = []
        for number, line in enumerate(self._whole_lines().splitlines(), 1):
            try:
                record = json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number} of '{self.path}' is not JSON: {error}") from error
            if not isinstance(record, dict):
                raise ValueError(f"line {number} of '{self.path}' is not a JSON object")
            records.append(record)
        return records

    def append(self, record: dict[str, Any]) -> None:
        r"""Writes one more object, and returns once it is on disk.

        Raises:
            OSError: If the file cannot be written.
        """
        with open(self.path, "ab") as file:
            _lock(file)
            file.truncate(len(self._whole_lines()))
            file.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _whole_lines(self) -> bytes:
        content = self.path.read_bytes()
        return content[: content.rfind(b"\n") + 1]


def _lock(file: IO[bytes]) -> None:
    r"""Waits until no other process holds a file, and holds it until it is closed."""
    with suppress(ModuleNotFoundError):  # on Windows
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
