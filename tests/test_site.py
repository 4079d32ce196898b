"""The documentation as a reader sees it, where ``make docs`` has built it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SITE = Path(__file__).parent.parent / "docs" / "_build" / "html"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (SITE / "index.html").exists(),
        reason="there is no site to open before 'make docs' has built it, as CI does first",
    ),
]


@pytest.mark.parametrize(
    ("page", "heading"),
    [
        ("index", "pyg_hiersmooth"),
        ("choosing", "Choosing"),
        ("certificates", "certificate"),
        ("benchmarks", "Benchmarks"),
        ("tutorials/nodes", "Node certificates"),
        ("api/certificates", "ertificate"),
    ],
)
def test_pages_load_without_a_network(
    page: str, heading: str, browser: Any, console_errors: Callable[[], list[str]]
) -> None:
    browser.get((SITE / f"{page}.html").as_uri())
    assert heading in browser.execute_script("return document.querySelector('h1').innerText")
    broken = "return [...document.images].filter(i => !i.naturalWidth).map(i => i.src)"
    assert browser.execute_script(broken) == []
    assert console_errors() == []


def test_formulas_are_set(browser: Any) -> None:
    browser.get((SITE / "certificates.html").as_uri())
    heights = browser.execute_script(
        "return [...document.querySelectorAll('math')].map(m => m.getBoundingClientRect().height)"
    )
    assert len(heights) > 20 and min(heights) > 5


def test_a_page_is_found_from_the_first_one(browser: Any) -> None:
    browser.get((SITE / "index.html").as_uri())
    browser.execute_script(
        "[...document.querySelectorAll('a')].find(a => a.href.endsWith('start.html')).click()"
    )
    assert browser.current_url.endswith("start.html")
