"""What the documentation shows runs: Python as it stands, fragments and commands by their names."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pyg_hiersmooth.certificates import certify_votes
from pyg_hiersmooth.certificates.composed import EdgeNoise
from pyg_hiersmooth.certificates.messages_of_type import MessagesOfType
from pyg_hiersmooth.cli import main
from pyg_hiersmooth.nn import SmoothedNodeClassifier
from pyg_hiersmooth.noise import AblationNoise, GaussianNoise, SparseFlipNoise
from pyg_hiersmooth.transforms import HierarchicalNodeFeatureNoise

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if "_build" not in page.parts]
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]

# Runs take seconds with few epochs and samples, and print other numbers.
QUICKER = {
    "split, transform, lr=1e-2)": "split, transform, lr=1e-2, max_epochs=5, progress=False)",
    "max_epochs=20": "max_epochs=5",
    "max_epochs=30": "max_epochs=5",
    "n0=50, n=200": "n0=20, n=50",
    "n=2_000": "n=100",
    "range(20):\n    for batch": "range(1):\n    for batch",
    "consistency=1.0\n)": "consistency=1.0,\n    max_epochs=5, n0=20, n=100, num_workers=0)",
    "node_index=range(10))": "node_index=range(10), progress=False)",
    "consistency=1.0, patience=100\n)": "max_epochs=2, progress=False\n)",
    "PartitionSelection(20, 10)": "PartitionSelection(3, 2)",
    "approve=level)": "approve=level, progress=False)",
    "approve=chosen.approve)": "approve=chosen.approve, progress=False)",
    'Experiment(settings, "runs/appnp").run()': (
        'Experiment(settings, "runs/appnp").run(progress=False)'
    ),
}
# What fragments call `smoothed` and `certificate`.
TRANSFORM, VOTES = HierarchicalNodeFeatureNoise(0.9, AblationNoise()), np.array([[9, 1]])
OBJECTS = {
    "smoothed": SmoothedNodeClassifier(torch.nn.Identity(), TRANSFORM, num_classes=2),
    "certificate": certify_votes(TRANSFORM, VOTES, VOTES),
}


def blocks(page: Path, language: str) -> list[str]:
    """The code of one language on a page."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), flags=re.DOTALL)


def name(page: Path) -> str:
    return page.relative_to(ROOT).with_suffix("").as_posix()


def with_code() -> list[Path]:
    """Pages with Python that runs as it stands, the first that a stranger reads at the front."""
    pages = [page for page in PAGES if blocks(page, "python")]
    return sorted(pages, key=lambda page: name(page) != "docs/start")


@pytest.mark.one_in(8)
@pytest.mark.parametrize("page", with_code(), ids=lambda page: name(page))
def test_python_runs_as_it_stands(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pyg_hiersmooth.sampling.engine.num_cores", lambda: 1)
    torch.manual_seed(0)
    namespace: dict[str, Any] = {"__name__": page.stem}
    for block in blocks(page, "python"):
        for slow, quick in QUICKER.items():
            block = block.replace(slow, quick)
        exec(compile(block, page.name, "exec"), namespace)


SAID = re.compile(r"# ([\d.]+)%$", flags=re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if SAID.search("".join(blocks(page, "python")))],
    ids=lambda page: name(page),
)
def test_python_prints_what_it_says(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), {"__name__": page.stem})
    said = [float(share) for share in SAID.findall("".join(blocks(page, "python")))]
    printed = [float(share) for share in re.findall(r"^([\d.]+)%$", capsys.readouterr().out, re.M)]
    # Sums of floats, and so what is learned, differ a little from machine to machine.
    assert printed == pytest.approx(said, abs=3.0)


def test_what_makes_a_block_quicker_is_in_one() -> None:
    code = "".join(block for page in PAGES for block in blocks(page, "python"))
    assert [slow for slow in QUICKER if slow not in code] == []


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "py")], ids=lambda page: name(page)
)
def test_fragments_use_names_that_exist(page: Path) -> None:
    for block in blocks(page, "py"):
        tree = ast.parse(block)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("pyg_hiersmooth"):
                module = importlib.import_module(str(node.module))
                assert [a.name for a in node.names if not hasattr(module, a.name)] == []
            if isinstance(node, ast.Attribute):
                assert is_known(node), ast.unparse(node)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert unknown_keywords(node.func, node.keywords) == []


def is_known(node: ast.Attribute) -> bool:
    """Whether an object of ours has the attribute; those of others are not asked."""
    if not isinstance(node.value, ast.Name) or node.value.id not in OBJECTS:
        return True
    return hasattr(OBJECTS[node.value.id], node.attr)


def unknown_keywords(function: ast.Attribute, keywords: list[ast.keyword]) -> list[str]:
    """The keywords of a call that its method does not take."""
    if not isinstance(function.value, ast.Name) or function.value.id not in OBJECTS:
        return []
    method = getattr(OBJECTS[function.value.id], function.attr)
    known = inspect.signature(method).parameters
    return [str(k.arg) for k in keywords if k.arg not in known]


def test_missing_names_are_found() -> None:
    call = ast.parse("smoothed.certify(data, samples=3)", mode="eval").body
    assert isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
    assert unknown_keywords(call.func, call.keywords) == ["samples"]
    assert is_known(call.func)
    call.func.attr = "certifies"
    assert not is_known(call.func)


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every command on a page, without comments."""
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: name(page))
def test_commands_take_their_options(page: Path) -> None:
    for words in commands(page):
        words = after_program(words)
        if words:
            command = main.commands[words[0]]
            context = command.context_class(command, info_name=words[0])
            command.make_parser(context).parse_args(list(words[1:]))


def after_program(words: list[str]) -> list[str]:
    """What ``hiersmooth`` or ``python -m pyg_hiersmooth`` is told; nothing for other programs."""
    if words[0] == "hiersmooth":
        return words[1:]
    return words[words.index("pyg_hiersmooth") + 1 :] if "-m" in words else []


def test_commands_are_found() -> None:
    told = [after_program(words)[:1] for page in TEXTS for words in commands(page)]
    assert {name for words in told for name in words} == set(main.commands)


def test_targets_and_scripts_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for page in TEXTS:
        for words in commands(page):
            if words[0] == "make":
                assert {word for word in words[1:] if "=" not in word} <= targets, page
            if words[0] == "python" and words[1].endswith(".py"):
                assert (ROOT / words[1]).exists(), page


def test_files_that_pages_link_to_exist() -> None:
    missing = []
    for page in TEXTS:
        for link in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text()):
            if not (page.parent / link).exists():
                missing.append((name(page), link))
    assert not missing


def test_files_that_contributing_names_exist() -> None:
    named = re.findall(r"`([\w/.]+(?:\.py|/))`", (ROOT / "CONTRIBUTING.md").read_text())
    assert len(named) > 10
    places = (ROOT, ROOT / "pyg_hiersmooth")
    assert [path for path in named if not any((place / path).exists() for place in places)] == []


def test_the_adversaries_of_the_page_are_those_of_certificates() -> None:
    page = (ROOT / "docs" / "structure.md").read_text()
    noises = (
        *(AblationNoise(), SparseFlipNoise(0.1, 0.5), GaussianNoise(0.2)),
        *(AblationNoise(of="messages"), AblationNoise(of="nodes")),
        *(EdgeNoise(AblationNoise(), undirected=True), MessagesOfType("author", "author")),
    )
    for noise in noises:
        assert f"| {noise.threat('nodes')} |" in page, noise
