from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.sampling.checkpoint import read_votes

Program = Callable[..., Result]

UNTIL = ("--until", "r=1,deletions=1", "--until", "r=2,additions=1", "--n", 300)


@pytest.fixture(scope="module")
def undisturbed(
    certify: Program, finished_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("until") / "run"
    options = ("--checkpoint", finished_run / "model.pt", "--out", folder)
    result = certify(*UNTIL, *options)
    assert result.exit_code == 0
    assert "Samples per node" in result.output
    assert "robust to r = 1, 1 deletion" in " ".join(result.output.split())
    return folder


def test_nodes_leave_when_their_questions_are_answered(undisturbed: Path) -> None:
    certificate = Certificate.load(undisturbed / "certificate.npz")
    votes = read_votes(undisturbed / "votes.npz")[0].numpy()
    assert certificate.num_samples is not None
    np.testing.assert_array_equal(certificate.num_samples, votes.sum(1))
    assert certificate.num_samples.min() < certificate.num_samples.max() <= 300
    assert not (undisturbed / "pre_votes.npz").exists()
    results = json.loads((undisturbed / "results.json").read_text())
    labels = np.load(undisturbed / "labels.npz")["labels"]
    assert results["mean_samples"] == pytest.approx(certificate.num_samples.mean())
    assert [cell["r"] for cell in results["asked"]] == [1, 2]
    expected = certificate.certified_accuracy(labels, 1, deletions=1)
    assert results["asked"][0]["accuracy"] == pytest.approx(expected)


@pytest.mark.slow
def test_killed_while_sampling(
    certify: Program,
    leisurely: list[str],
    finished_run: Path,
    undisturbed: Path,
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    options = [*UNTIL, "--checkpoint", finished_run / "model.pt", "--out", run]
    options += ["--num-workers", 2, "--device", "cpu", "--no-progress"]
    process = subprocess.Popen([*leisurely, "certify", *map(str, options)])
    while not (run / "votes.npz").exists() or read_votes(run / "votes.npz")[1] == 0:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (run / "certificate.npz").exists()
    assert certify("--resume", run).exit_code == 0
    votes = [read_votes(each / "votes.npz")[0] for each in (run, undisturbed)]
    assert votes[0].equal(votes[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--until", "r=1,eps=2"), "eps"),
        (("--until", "r=0,deletions=1"), "must allow the adversary a change"),
        (("--until", "deletions"), "'--until' must hold questions such as 'r=1,deletions=5'"),
        (
            ("--until", "r=1,deletions=1", "--n0", 7),
            "'--num-pre-samples' does nothing with '--until'",
        ),
    ],
)
def test_questions_that_cannot_be_asked(
    options: tuple[object, ...], message: str, certify: Program, tmp_path: Path
) -> None:
    result = certify(*options, "--out", tmp_path / "run")
    assert result.exit_code != 0 and "Traceback" not in result.stderr
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "run").exists()
