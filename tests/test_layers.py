"""Data flows one way: no package imports what stands on it, or what stands beside it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pyg_hiersmooth

PACKAGE = Path(pyg_hiersmooth.__file__).parent

LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"__main__"}),
    frozenset({"cli"}),
    frozenset({"study", "tuning", "report"}),
    frozenset({"experiment"}),
    frozenset({"training", "attacks"}),
    frozenset({"nn"}),
    frozenset({"sampling", "certificates"}),
    frozenset({"transforms", "serialization", "plotting"}),
    frozenset({"noise", "selection"}),
    frozenset({"models", "datasets"}),
    frozenset({"archive"}),
    frozenset(
        {"random", "cores", "files", "extras", "chart", "choices", "errors", "words", "__init__"}
    ),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

NN_LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"__init__"}),
    frozenset({"node", "graph", "image"}),
    frozenset({"smoothed_classifier", "neighborhoods"}),
    frozenset({"voters"}),
    frozenset({"adjacency"}),
    frozenset({"isolation"}),
    frozenset({"calls", "certificate_plan"}),
)
NN_LEVEL = {name: level for level, names in enumerate(NN_LAYERS) for name in names}


def imports(folder: str = "") -> Iterator[tuple[Path, str, str]]:
    """Every import within the package or a folder of it: the file, its part, and the other part."""
    package = ["pyg_hiersmooth", folder] if folder else ["pyg_hiersmooth"]
    for path in sorted((PACKAGE / folder).rglob("*.py")):
        inside = path.relative_to(PACKAGE / folder).parts
        part = inside[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            for module in imported(node, inside):
                names = module.split(".")
                if names[: len(package)] == package:
                    yield path, part, (names[len(package) :] or ["__init__"])[0]


def imported(node: ast.AST, inside: tuple[str, ...]) -> list[str]:
    """The modules of the package that a statement imports."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"relative import in {inside}"
        names = [str(node.module)]
        if node.module == "pyg_hiersmooth":  # from pyg_hiersmooth import noise
            names = [
                f"{node.module}.{alias.name}" if alias.name in LEVEL else str(node.module)
                for alias in node.names
            ]
    else:
        return []
    return [name for name in names if name.split(".")[0] == "pyg_hiersmooth"]


def test_every_part_has_its_layer() -> None:
    parts = {path.name.removesuffix(".py") for path in PACKAGE.iterdir()}
    assert parts - {"__pycache__", "py.typed"} == set(LEVEL)


def test_imports_are_found() -> None:
    found = {(part, other) for _, part, other in imports()}
    assert {("cli", "experiment"), ("serialization", "noise"), ("nn", "sampling")} <= found
    assert ("experiment", "__init__") in found  # the version


def test_no_part_imports_what_stands_on_it_or_beside_it() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {other}"
        for path, part, other in imports()
        if part != other and LEVEL[part] >= LEVEL[other]
    ]
    assert wrong == []


def test_no_room_of_nn_imports_what_stands_on_it_or_beside_it() -> None:
    parts = {path.name.removesuffix(".py") for path in (PACKAGE / "nn").iterdir()}
    assert parts - {"__pycache__"} == set(NN_LEVEL)
    found = {(part, other) for _, part, other in imports("nn")}
    assert {("node", "neighborhoods"), ("voters", "isolation")} <= found
    assert [
        f"nn/{part} imports nn/{other}"
        for part, other in sorted(found)
        if part != other and NN_LEVEL[part] >= NN_LEVEL[other]
    ] == []


def test_plotting_imports_nothing_of_certificates() -> None:
    assert ("plotting", "certificates") not in {(part, other) for _, part, other in imports()}
