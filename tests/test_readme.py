from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
QUICKER = {
    "num_draws=4, consistency=1.0)": "max_epochs=40, progress=False)",
    "n0=1_000, n=4_000": "n0=50, n=200",
}


def test_it_opens_with_the_two_commands() -> None:
    opening = README.read_text().split("```")[1]
    assert "make demo" in opening and "make test" in opening


def test_the_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = "".join(BLOCKS)
    for slow, quick in QUICKER.items():
        assert slow in code
        code = code.replace(slow, quick)
    namespace: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), namespace)
    assert namespace["certificate"].clean_accuracy(namespace["y"]) > 0.3


@pytest.mark.slow
def test_the_lines_print_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    exec(compile("".join(BLOCKS), "README.md", "exec"), {})
    torch.set_num_threads(threads)
    said = [float(share) for share in re.findall(r"# ([\d.]+)%", "".join(BLOCKS))]
    printed = [float(share) for share in re.findall(r"^([\d.]+)%$", capsys.readouterr().out, re.M)]
    # Sums of floats, and so what is learned, differ a little from machine to machine.
    assert len(said) == 2 and printed == pytest.approx(said, abs=3.0)


def test_every_file_that_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README.read_text())
    assert links
    assert [link for link in links if not (README.parent / link).exists()] == []
