from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pyg_hiersmooth.cli import main

Program = Callable[..., Result]


@pytest.fixture(scope="session")
def hiersmooth() -> Program:
    """Runs the program in this process; errors that it should have caught are raised."""

    def run(*arguments: object, color: bool = False) -> Result:
        texts = [str(argument) for argument in arguments]
        return CliRunner().invoke(main, texts, catch_exceptions=False, color=color)

    return run


@pytest.fixture(scope="session")
def certify(hiersmooth: Program) -> Program:
    """Runs ``hiersmooth certify`` in this process on a CPU."""

    def run(*arguments: object, color: bool = False) -> Result:
        quiet = ["--no-progress", "--num-workers", 0]
        return hiersmooth("certify", *quiet, *arguments, color=color)

    return run


@pytest.fixture(scope="session")
def finished_run(certify: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small finished run on the synthetic dataset; not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    result = certify("--out", folder, "--max-epochs", 5, "--n0", 10, "--n", 40)
    assert result.exit_code == 0, result.output
    return folder
