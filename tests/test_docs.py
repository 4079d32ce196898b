"""The lines of Python in the documentation run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [DOCS / "start.md", *sorted((DOCS / "howto").glob("*.md"))]
ALONE = [page for page in PAGES if page.stem not in {"large_graphs", "many_machines", "index"}]
QUICKER = {
    "transform, lr=1e-2)": "transform, lr=1e-2, max_epochs=20, progress=False)",
    "n=2_000": "n=100",
}


@pytest.mark.parametrize("page", ALONE, ids=lambda page: page.stem)
def test_lines_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pyg_hiersmooth.sampling.engine.num_cores", lambda: 1)
    torch.manual_seed(0)
    namespace: dict[str, Any] = {"__name__": page.stem}
    for block in blocks:
        for slow, quick in QUICKER.items():
            block = block.replace(slow, quick)
        exec(compile(block, page.name, "exec"), namespace)
    assert blocks or "```" in page.read_text()


def test_files_that_pages_link_to_exist() -> None:
    missing = []
    for page in DOCS.rglob("*.md"):
        if "_build" in page.parts:
            continue
        for link in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text()):
            if not (page.parent / link).exists():
                missing.append((page.name, link))
    assert not missing
