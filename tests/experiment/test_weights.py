from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pyg_hiersmooth.experiment.weights import load_weights


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Linear(2, 3)


def test_weights_come_back(tmp_path: Path) -> None:
    saved = model()
    with torch.no_grad():
        saved.weight.fill_(7.0)
    torch.save(saved.state_dict(), tmp_path / "model.pt")
    loaded = model()
    load_weights(loaded, tmp_path / "model.pt")
    assert torch.equal(loaded.weight, saved.weight)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.nn.Linear(2, 3), "is damaged or holds more than weights"),
        ([1], "it holds a list and no state dict"),
        ({"weight": torch.zeros(3, 2)}, "it lacks 'bias'"),
        ({"weight": 1, "bias": torch.zeros(3)}, "it lacks 'weight'"),
        ({"weight": torch.zeros(2, 3), "bias": torch.zeros(3)}, "has the shape"),
        ({"weight": torch.zeros(3, 2), "bias": torch.full((3,), torch.inf)}, "NaN or infinite"),
        ({**torch.nn.Linear(2, 3).state_dict(), "more": torch.zeros(1)}, "it also holds 'more'"),
    ],
)
def test_a_model_that_they_do_not_fit_is_not_changed(
    content: Any, message: str, tmp_path: Path
) -> None:
    torch.save(content, tmp_path / "model.pt")
    unchanged = model()
    with pytest.raises(ValueError, match=message):
        load_weights(unchanged, tmp_path / "model.pt")
    assert torch.equal(unchanged.weight, model().weight)


@pytest.mark.parametrize("content", [b"nonsense", b""])
def test_damage(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(ValueError, match="is damaged or holds more than weights"):
        load_weights(model(), tmp_path / "model.pt")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_weights(model(), tmp_path / "model.pt")
