"""The documentation as a reader sees it, where ``make docs`` has built it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pyg_hiersmooth

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


def test_the_home_has_a_picture_and_repeats_no_tree(browser: Any) -> None:
    browser.get((SITE / "index.html").as_uri())
    assert browser.execute_script("return document.querySelectorAll('article img').length") == 1
    tree = "return document.querySelectorAll('article .toctree-wrapper li').length"
    assert browser.execute_script(tree) == 0


def test_the_version_is_shown(browser: Any) -> None:
    browser.get((SITE / "index.html").as_uri())
    brand = browser.execute_script("return document.querySelector('.sidebar-brand').innerText")
    assert pyg_hiersmooth.__version__ in brand


@pytest.fixture(params=[390, 1200])
def width(request: pytest.FixtureRequest, browser: Any) -> Iterator[int]:
    """Pixels of a telephone and of a desk."""
    size = {"width": request.param, "height": 900, "deviceScaleFactor": 1}
    size["mobile"] = request.param < 500
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    yield request.param
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_no_page_scrolls_sideways(width: int, browser: Any) -> None:
    wide = []
    for page in sorted(SITE.rglob("*.html")):
        if "_modules" not in page.parts:
            browser.get(page.as_uri())
            if browser.execute_script("return document.documentElement.scrollWidth") > width:
                wide.append(page.relative_to(SITE))
    assert wide == []


def test_tables_of_notebooks_take_the_colors_of_the_theme(browser: Any) -> None:
    browser.get((SITE / "tutorials" / "nodes.html").as_uri())
    color = """
        document.body.dataset.theme = arguments[0];
        const tables = [...document.querySelectorAll('.output.text_html table')];
        return tables.map(table => getComputedStyle(table).backgroundColor);
    """
    light, dark = (browser.execute_script(color, theme) for theme in ("light", "dark"))
    assert len(light) >= 3
    assert set(light).isdisjoint(dark)
