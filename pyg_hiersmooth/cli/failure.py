r"""Errors in one sentence."""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pyg_hiersmooth.sampling import Ranks

EXPECTED = (
    ValueError,
    TypeError,
    OSError,
    ImportError,
    FloatingPointError,
    MemoryError,
    RuntimeError,  # PyTorch's own errors, such as a GPU that is out of memory
)


class Failure(click.ClickException):
    r"""An error that ends the program with one red sentence on standard error."""

    def show(self, file: IO[Any] | None = None) -> None:
        click.secho(f"Error: {self.format_message()}", fg="red", err=True, file=file)


class Interrupted(click.ClickException):
    r"""The end of a program that the user interrupted."""

    exit_code = 130

    def show(self, file: IO[Any] | None = None) -> None:
        click.secho(f"\n{self.format_message()}", fg="yellow", err=True, file=file)


@contextmanager
def one_sentence() -> Iterator[None]:
    r"""Turns the errors of the library into a :class:`Failure` that names options."""
    try:
        yield
    except BrokenPipeError:  # the reader of a pipe has seen enough
        raise
    except EXPECTED as error:
        raise Failure(with_options(_sentence(error))) from error


def load_pytorch(*others: str) -> None:
    r"""Imports PyTorch, PyG and modules that need them, and says so, since this takes seconds."""
    if "torch_geometric" in sys.modules:
        return
    if os.environ.get("RANK", "0") == "0":
        click.echo("Loading PyTorch ...", err=True)
    gc.disable()  # imports leave no garbage, and each search for it visits all that they made
    try:
        for module in ("torch_geometric", *others):
            import_module(module)
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def one_voice() -> Iterator[Ranks]:
    r"""Lets the processes of ``torchrun`` work together; the first one alone says what went wrong
    for all of them.
    """
    load_pytorch()
    from pyg_hiersmooth.sampling.ranks import is_known, process_group

    with process_group() as ranks:
        try:
            with ranks.collective():
                yield ranks
        except Exception as error:
            if ranks.is_first or not is_known(error):
                raise
            raise SystemExit(1) from error


def with_options(sentence: str) -> str:
    r"""Names the options of the running command as they are typed: ``'--n0'`` for ``'n0'``."""
    context = click.get_current_context()
    options = {
        param.name: next((flag for flag in param.opts if flag.startswith("--")), param.opts[0])
        for param in context.command.params
    }
    return re.sub(r"'(\w+)'", lambda quoted: f"'{options.get(quoted[1], quoted[1])}'", sentence)


def _sentence(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return f"the run failed with {type(error).__name__}"
    # A worker process hands over its whole traceback, which ends in the message.
    return lines[-1] if "Traceback" in str(error) else " ".join(lines)
