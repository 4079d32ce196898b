r"""Files that are never half written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO


@contextmanager
def replace_atomically(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    r"""Opens a temporary file that takes the place of :obj:`path` only once it is complete and on
    disk; on any error what was there before stays.

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
