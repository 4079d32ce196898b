"""``hiersmooth certify`` under ``torchrun``."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from click.testing import Result
from torch.distributed.run import get_args_parser

from pyg_hiersmooth.cli.certify import certify_command
from pyg_hiersmooth.sampling.checkpoint import read_votes

Program = Callable[..., Result]
OnRanks = Callable[..., list[Any]]

ROOT = Path(__file__).parents[2]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]


def votes_of(folder: Path) -> list[np.ndarray]:
    return [read_votes(folder / name)[0].numpy() for name in ("pre_votes.npz", "votes.npz")]


def rank_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("RANK")
    except psutil.Error:
        return None


@pytest.mark.slow
def test_a_run_goes_on_after_a_rank_was_killed(
    certify: Program, leisurely: list[str], finished_run: Path, tmp_path: Path
) -> None:
    run, alone = tmp_path / "run", tmp_path / "alone"
    options = ["--checkpoint", finished_run / "model.pt", "--n0", 10, "--n", 400]
    assert certify(*options, "--out", alone).exit_code == 0
    options += ["--out", run, "--num-workers", 0, "--device", "cpu", "--no-progress"]
    process = subprocess.Popen(
        [*TORCHRUN, "--max-restarts=1", "--", leisurely[1], "certify", *map(str, options)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not (run / "votes.npz").exists() or read_votes(run / "votes.npz")[1] == 0:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    kept = read_votes(run / "votes.npz")[1]
    assert kept < 400
    (second,) = [each for each in psutil.Process(process.pid).children() if rank_of(each) == "1"]
    second.send_signal(signal.SIGKILL)
    output, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert all(map(np.array_equal, votes_of(run), votes_of(alone)))
    assert output.count(f"The run is in {run}") == 1  # the first rank alone, at the end


def test_the_first_rank_alone_prints_and_says_what_went_wrong(
    certify: Program, finished_run: Path, tmp_path: Path, on_ranks: OnRanks
) -> None:
    run = tmp_path / "run"
    options = ["--checkpoint", finished_run / "model.pt", "--n0", 5, "--n", 20, "--device", "cpu"]

    def work(rank: int) -> list[tuple[int, str, str]]:
        results = [certify(*options, "--out", run) for _ in range(2)]
        results.append(certify(*options, "--seed", rank, "--out", tmp_path / "other"))
        return [(result.exit_code, result.stdout, result.stderr) for result in results]

    first, second = on_ranks(work)
    done, again, differ = first
    assert done[0] == 0 and f"The run is in {run}" in done[1]
    assert again[0] == 1 and f"'--out {run}' holds a finished run already" in again[2]
    assert differ[0] == 1 and "all ranks must have the same '--seed' (got 0 on rank 0" in differ[2]
    assert second == [(0, "", ""), (1, "", ""), (1, "", "")]


def test_ranks_that_torchrun_started_again_go_on(
    certify: Program, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    (run / "votes.npz").unlink()
    options = ["--max-epochs", 5, "--n0", 10, "--n", 40, "--out", run]
    assert "holds a finished run already" in certify(*options).stderr
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert certify(*options).exit_code == 0
    assert all(map(np.array_equal, votes_of(run), votes_of(finished_run)))
    other = certify(*options, "--seed", 1)
    assert other.exit_code == 1 and "holds a run with another 'seed'" in " ".join(
        other.stderr.split()
    ).replace("'--seed'", "'seed'")


def documented_options() -> list[list[str]]:
    """The options of each ``certify`` in README and docs."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    text = "\n".join(page.read_text() for page in pages).replace("\\\n", " ")
    found = re.findall(r"^(?:.*-m pyg_)?hiersmooth certify (-.*)$", text, flags=re.MULTILINE)
    return [shlex.split(options, comments=True) for options in found]


def test_torchrun_takes_no_option_of_ours_for_one_of_its_own() -> None:
    # Its parser looks for prefixes of its options in all arguments, those of the program too.
    flags = [flag for option in certify_command.params for flag in option.opts]
    flags.remove("--n")  # stays for one process alone
    for options in [*documented_options(), ["-n", "700"], *([flag] for flag in flags)]:
        program = ["pyg_hiersmooth", "certify", *options]
        parsed = get_args_parser().parse_args(["--nproc-per-node=2", "-m", *program])
        assert [parsed.training_script, *parsed.training_script_args] == program
    assert len(documented_options()) > 5


@pytest.mark.slow
def test_torchrun_with_the_options_of_the_readme(certify: Program, tmp_path: Path) -> None:
    options = [
        *("--dataset", "CitationSBM", "--model", "gat", "--noise", "flips"),
        *("--p", "0.81", "--p-plus", "0.05", "--p-minus", "0.8", "--lr", "0.01"),
        *("--max-epochs", "3", "--num-pre-samples", "10", "-n", "40", "--device", "cpu"),
    ]
    assert certify(*options, "--out", tmp_path / "alone").exit_code == 0
    command = [*TORCHRUN, "-m", "pyg_hiersmooth", "certify", *options, "--no-progress"]
    together = ["--out", str(tmp_path / "together")]
    done = subprocess.run([*command, *together], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Loading PyTorch ...") == 1
    assert done.stdout.count("The run is in") == 1
    assert all(map(np.array_equal, votes_of(tmp_path / "together"), votes_of(tmp_path / "alone")))


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("certify", "but RANK is not set: start with torchrun"),
        ("tune", "tuning runs in one process, without torchrun (got 2 ranks)"),
        ("benchmark", "a study runs in one process, without torchrun (got 2 ranks)"),
    ],
)
def test_what_cannot_run_in_ranks_says_so(
    command: str,
    message: str,
    hiersmooth: Program,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = hiersmooth(command, "--out", tmp_path / "run")
    assert result.exit_code == 1 and message in " ".join(result.stderr.split())
    assert not (tmp_path / "run").exists()
