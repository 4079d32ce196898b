"""The API pages name every module that users import from."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pyg_hiersmooth

PACKAGE = Path(pyg_hiersmooth.__file__).parent
PAGES = sorted((Path(__file__).parents[1] / "docs" / "api").glob("*.rst"))
TEXT = "".join(page.read_text() for page in PAGES)

PRIVATE = {
    "__init__",  # the version alone
    "__main__",  # a program
    "archive",  # writes files of arrays
    "choices",  # types of arguments, shown where they are taken
    "cli",  # a program
    "cores",  # counts them
    "extras",  # imports what is optional
    "files",  # writes files
    "words",  # writes numbers of things
}


def test_every_public_module_is_on_a_page_once() -> None:
    named = Counter(re.findall(r"automodule:: pyg_hiersmooth\.([\w.]+)", TEXT))
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert parts - PRIVATE - {"__pycache__"} <= set(named)
    assert max(named.values()) == 1


def test_modules_of_a_package_without_names_of_its_own_are_on_the_page() -> None:
    for path in (PACKAGE / "study").glob("[a-z]*.py"):
        assert f"automodule:: pyg_hiersmooth.study.{path.stem}\n" in TEXT
