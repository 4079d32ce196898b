"""What the package says about itself is true: its extras, its links, its version."""

from __future__ import annotations

import ast
import re
import runpy
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from types import SimpleNamespace

import pytest

import pyg_hiersmooth

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pyg_hiersmooth"
REPOSITORY = "https://github.com/pyg-hiersmooth/pyg_hiersmooth"
# Packages whose module has another name, beyond a hyphen.
MODULES = {"scikit-learn": "sklearn"}
CONFIG = ConfigParser()
CONFIG.read(ROOT / "setup.cfg")


def requirements(extra: str | None = None) -> set[str]:
    """The modules that an extra of setup.cfg brings, and the package alone without one."""
    section, option = (
        ("options.extras_require", extra) if extra else ("options", "install_requires")
    )
    lines = CONFIG[section][str(option)].split()
    packages = [re.split(r"[<>=!~;]", line)[0].lower() for line in lines]
    return {MODULES.get(package, package.replace("-", "_")) for package in packages}


def foreign_imports(path: Path, at_import: bool = True) -> Iterator[str]:
    """The modules of others that a file imports: as it is imported itself, or in a function."""
    tree = ast.parse(path.read_text())
    for node in executed(tree) if at_import else ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [str(node.module)]
        yield from {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)


def executed(tree: ast.AST) -> Iterator[ast.AST]:
    """What runs as a module is imported: no bodies of functions, and nothing for type checkers."""
    for node in ast.iter_child_nodes(tree):
        is_for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if not isinstance(node, ast.FunctionDef) and not is_for_types:
            yield node
            yield from executed(node)


def documented() -> Iterator[Path]:
    """The files that autodoc imports: the modules under docs/api, and all of their packages."""
    for page in sorted((ROOT / "docs" / "api").glob("*.rst")):
        for module in re.findall(r"auto\w+:: (pyg_hiersmooth[\w.]*)", page.read_text()):
            parts = module.split(".")
            while not ROOT.joinpath(*parts).exists() and not _file(parts).exists():
                parts = parts[:-1]  # a class or function of a module
            place = ROOT.joinpath(*parts)
            yield from sorted(place.rglob("*.py")) if place.is_dir() else [_file(parts)]


def _file(parts: list[str]) -> Path:
    return ROOT.joinpath(*parts[:-1], f"{parts[-1]}.py")


def test_the_docs_extra_brings_what_autodoc_imports() -> None:
    paths = set(documented())
    assert {PACKAGE / "report" / "page.py", PACKAGE / "nn" / "node.py"} <= paths
    needed = {name for path in paths for name in foreign_imports(path)}
    assert needed - requirements() - requirements("docs") == {"pyg_hiersmooth"}


def test_the_docs_extra_brings_what_the_site_and_its_tutorials_import() -> None:
    needed = set(foreign_imports(ROOT / "docs" / "conf.py"))
    for page in (ROOT / "docs" / "tutorials").glob("*.md"):
        code = "\n".join(re.findall(r"```{code-cell} ipython3\n(.*?)```", page.read_text(), re.S))
        needed |= {node.split(".")[0] for node in re.findall(r"^(?:from|import) (\w+)", code, re.M)}
    assert needed - requirements() - requirements("docs") == {"pyg_hiersmooth"}


def test_the_report_extra_brings_what_reports_import() -> None:
    needed = {name for p in (PACKAGE / "report").glob("*.py") for name in foreign_imports(p)}
    assert needed - requirements() - requirements("report") == {"pyg_hiersmooth"}


def test_the_package_alone_imports_no_extra() -> None:
    paths = [path for path in PACKAGE.rglob("*.py") if path.parent.name != "report"]
    needed = {name for path in paths for name in foreign_imports(path)}
    assert needed - requirements() == {"pyg_hiersmooth"}


def test_every_extra_that_an_error_names_exists_and_brings_the_module() -> None:
    calls = [
        re.findall(r'require\(f?"(\w+)[^"]*", extra="(\w+)"\)', path.read_text())
        for path in PACKAGE.rglob("*.py")
    ]
    named = {call for found in calls for call in found}
    assert len(named) >= 5
    assert [call for call in named if call[0] not in requirements(call[1])] == []


def test_the_test_extra_brings_what_tests_import() -> None:
    optional = {"ogb", "torch_sparse", "torch_scatter", "selenium", "pyg_hiersmooth"}
    needed = {
        name for path in (ROOT / "tests").rglob("*.py") for name in foreign_imports(path, False)
    }
    ours = {
        path.stem for folder in ("tests", "benchmarks") for path in ROOT.glob(f"{folder}/**/*.py")
    }
    assert needed - requirements() - requirements("test") - optional - ours == set()


def test_nothing_advises_to_install_the_package_from_the_index() -> None:
    places = [*PACKAGE.rglob("*.py"), *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    advice = re.compile(r"pip install \"?pyg[_-]hiersmooth")
    assert [path for path in places if advice.search(path.read_text())] == []


def test_links_lead_to_rendered_pages_that_exist() -> None:
    lines = CONFIG["metadata"]["project_urls"].strip().splitlines()
    links = dict(line.split(" = ") for line in lines)
    assert {"Documentation", "Source", "Changelog"} <= set(links)
    headings = re.findall(r"^## (.*)$", (ROOT / "README.md").read_text(), re.M)
    for link in links.values():
        assert link.startswith(REPOSITORY)
        if "#" in link:
            assert link.partition("#")[2] in {h.lower().replace(" ", "-") for h in headings}
        if "/blob/main/" in link:
            page = ROOT / link.partition("/blob/main/")[2]
            # Sphinx's directives are shown as they are written by whoever does not know them.
            assert ":::" not in page.read_text() and "```{" not in page.read_text()


def test_links_of_the_readme_work_on_a_package_index(monkeypatch: pytest.MonkeyPatch) -> None:
    metadata: dict[str, str] = {}
    monkeypatch.setitem(sys.modules, "setuptools", SimpleNamespace(setup=metadata.update))
    runpy.run_path(str(ROOT / "setup.py"))
    links = re.findall(r"\[[^\]]*\]\(([^)]+)\)", metadata["long_description"])
    ours = [link.removeprefix(f"{REPOSITORY}/") for link in links if link.startswith(REPOSITORY)]
    assert "raw/main/docs/demo.png" in ours and "blob/main/docs/start.md" in ours
    assert [path for path in ours if not ROOT.joinpath(*path.split("/")[2:]).exists()] == []
    assert [link for link in links if not link.startswith("https://")] == []


def test_the_version_is_the_same_everywhere() -> None:
    version = pyg_hiersmooth.__version__
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text()
    newest = re.search(r"^## (\S+) \((.*)\)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest is not None and newest[1] == version
    assert re.fullmatch(r"unreleased|\d{4}-\d{2}-\d{2}", newest[2])
