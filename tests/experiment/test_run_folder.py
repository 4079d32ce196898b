from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pyg_hiersmooth.experiment.accuracy import CertifiedAccuracy, CollectiveAccuracy
from pyg_hiersmooth.experiment.collective_summary import CollectiveSummary
from pyg_hiersmooth.experiment.run_folder import RunFolder, versions
from pyg_hiersmooth.experiment.sets_summary import SetsSummary, SizeOfSets
from pyg_hiersmooth.experiment.settings import Settings, differences
from pyg_hiersmooth.experiment.summary import Summary
from pyg_hiersmooth.sampling.checkpoint import Counted, VoteCheckpoint

SETTINGS = Settings.of(n=5, device="cpu")

# A run folder as it was written before tasks and parts had names.
OLD = """{"format": "pyg_hiersmooth run 1", "options": {"dataset": "Cora", "root": "data",
"model": "gcn", "noise": "flips", "p": 1.0, "p_plus": 0.05, "p_minus": 0.8, "std": null,
"scale": null, "indicator": false, "n0": 1000, "n": 10000, "alpha": 0.01, "kind": "multiclass",
"simultaneous": false, "seed": 13, "max_epochs": 1000, "patience": 50, "lr": 0.001,
"checkpoint": null, "num_workers": 0, "device": "cpu"}, "versions": {}}"""


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "new" / "run")
    folder.check_free()
    folder.create(SETTINGS, torch.tensor([3, 1, 2]))
    return folder


def test_settings_and_labels_are_there_from_the_start(folder: RunFolder) -> None:
    assert {file.name for file in folder.path.iterdir()} == {"settings.json", "labels.npz"}
    assert folder.read_settings() == SETTINGS
    assert folder.read_labels().tolist() == [3, 1, 2]
    content = json.loads(folder.settings.read_text())
    assert content["versions"] == versions() and "torch" in versions()


def test_folders_of_before_are_read(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(OLD)
    settings = RunFolder(tmp_path).read_settings()
    assert settings == Settings.of(
        dataset="Cora", p=1.0, indicator=False, seed=13, num_workers=0, device="cpu"
    )


def test_folders_of_before_say_how_nothing_was_selected(tmp_path: Path) -> None:
    content = json.loads(OLD)
    content["options"] |= {"noise": "none", "p": 0.81, "p_plus": None, "p_minus": None}
    (tmp_path / "settings.json").write_text(json.dumps(content))
    settings = RunFolder(tmp_path).read_settings()
    again = Settings.of(
        dataset="Cora", noise="none", indicator=False, seed=13, num_workers=0, device="cpu"
    )
    assert settings == again and differences(settings.options, again.options) == {}


def test_a_certificate_only_of_a_finished_run(folder: RunFolder) -> None:
    with pytest.raises(ValueError, match="is not finished: continue it with 'hiersmooth certify"):
        folder.read_certificate()


def test_state(folder: RunFolder) -> None:
    assert folder.state == "an unfinished run"
    with pytest.raises(ValueError, match=r"holds 'settings\.json' already"):
        folder.check_free()
    folder.save_summary(Summary("smoothing", 3, 0.5, 0.0, [], None, None))
    assert folder.state == "a finished run"
    assert json.loads(folder.results.read_text())["accuracy"] == 0.5


def test_votes(folder: RunFolder) -> None:
    assert folder.num_samples() == 0
    for path, votes in ((folder.pre_votes, [[2, 0]]), (folder.votes, [[3, 4]])):
        VoteCheckpoint(path, {}).save(Counted(torch.tensor(votes), sum(votes[0])))
    assert folder.num_samples() == 9
    assert [votes.tolist() for votes in folder.read_votes()] == [[[2, 0]], [[3, 4]]]
    assert folder.read_outcomes().tolist() == [[3, 4]]


def test_missing_and_damaged_votes(folder: RunFolder) -> None:
    with pytest.raises(FileNotFoundError):
        folder.read_votes()
    folder.pre_votes.write_text("nonsense")
    with pytest.raises(ValueError, match="is not a file of votes"):
        folder.read_votes()


def test_weights_and_nothing_but_them(folder: RunFolder) -> None:
    model = torch.nn.Linear(2, 3)
    folder.save_model(model)
    weights = torch.load(folder.model, weights_only=True)
    assert torch.equal(weights["weight"], model.weight)


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "{}", "3", '{"format": "other"}'),
        '{"format": "pyg_hiersmooth run 1", "options": {}}',
        OLD.replace('"seed": 13, ', ""),
        OLD.replace('"seed": 13', '"seed": 13, "seeds": 13'),
        OLD.replace('"std": null', '"std": 0.5'),
    ],
)
def test_damaged_settings(content: str, folder: RunFolder) -> None:
    folder.settings.write_text(content)
    with pytest.raises(ValueError, match=r"settings\.json' is damaged"):
        folder.read_settings()


def test_damaged_labels(folder: RunFolder) -> None:
    folder.labels.write_bytes(folder.labels.read_bytes()[:20])
    with pytest.raises(ValueError, match="holds no labels"):
        folder.read_labels()
    np.savez(folder.labels, other=np.arange(3))
    with pytest.raises(ValueError, match="holds no labels"):
        folder.read_labels()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file/run' must be a folder that can be written"):
        RunFolder(tmp_path / "file" / "run").create(SETTINGS, torch.tensor([1]))


def test_what_came_out_is_read_again(folder: RunFolder) -> None:
    assert folder.read_summary() is None
    cells = [CollectiveAccuracy(2, {"eps": 0.5}, 0.4, "eps = 0.5", 0.3)]
    together = CollectiveSummary("lp", 3.0, cells)
    certified = [CertifiedAccuracy(1, {"eps": 0.5}, 0.6, "eps = 0.5")]
    summary = Summary("noise", 3, 0.7, 0.1, certified, "dense", 0.2, True, together)
    folder.save_summary(summary)
    assert folder.read_summary() == summary
    folder.save_summary(replace(summary, collective=None))
    assert folder.read_summary() == replace(summary, collective=None)
    size = SizeOfSets(3, {}, 1.5, 0.5, 0.9, False, "anything")
    with_sets = replace(summary, sets=SetsSummary(0.9, 0.1, 200, 7, "sure", [size]))
    folder.save_summary(with_sets)
    assert folder.read_summary() == with_sets
    folder.save_summary(replace(summary, collective=None))
    content = json.loads(folder.results.read_text())
    del content["exact"], content["collective"]  # as it was written before
    folder.results.write_text(json.dumps(content))
    assert folder.read_summary() == replace(summary, exact=False, collective=None)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"certified": 3}'])
def test_what_came_out_and_is_damaged(content: str, folder: RunFolder) -> None:
    folder.results.write_text(content)
    assert folder.read_summary() is None
