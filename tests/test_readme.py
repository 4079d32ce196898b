from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

README = Path(__file__).parents[1] / "README.md"

QUICKER = {
    "train_node_classifier(model, data, split, transform)": (
        "train_node_classifier(model, data, split, transform, max_epochs=60, patience=60)"
    ),
    "n0=1_000, n=4_000": "n0=50, n=200",
}


def test_the_lines_of_python_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len(blocks) == 3
    first, second, third = blocks
    for slow, quick in QUICKER.items():
        assert slow in first
        first = first.replace(slow, quick)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    namespace: dict[str, Any] = {}
    exec(compile(first, "README.md", "exec"), namespace)
    assert (tmp_path / "certified_accuracy.png").stat().st_size > 10_000
    assert namespace["certificate"].clean_accuracy(namespace["y"]) > 0.3
    # The others go on where the first one ends.
    exec(compile(second.replace("4_000", "200"), "README.md", "exec"), namespace)
    assert namespace["certificate"].num_samples.min() < 200
    exec(compile(third, "README.md", "exec"), namespace)
    assert namespace["certificate"].exact


def test_every_file_that_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README.read_text())
    assert links
    assert [link for link in links if not (README.parent / link).exists()] == []
