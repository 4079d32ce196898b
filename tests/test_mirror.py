"""Every module of the package has the file of tests that its path says."""

from __future__ import annotations

from pathlib import Path

import pyg_hiersmooth

PACKAGE = Path(pyg_hiersmooth.__file__).parent
TESTS = Path(__file__).parent

ELSEWHERE = {
    "__init__.py": "names only",
    "__main__.py": "the command line's own tests",
    "errors.py": "the tests of what raises them",
    "report/look.py": "the page opened in a browser",
    "report/objects.py": "the page opened in a browser",
    "nn/voters/model_voter.py": "the tests of its two voters",
    "nn/calls/not_taken.py": "the tests of what raises it",
    "nn/smoothed_classifier.py": "the tests of nodes, graphs and images",
}


def test_every_module_has_its_mirror() -> None:
    modules = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")]
    missing = [
        str(module)
        for module in modules
        if module.name not in ELSEWHERE and str(module) not in ELSEWHERE
        if not (TESTS / module.parent / f"test_{module.name}").exists()
    ]
    assert sorted(missing) == []
