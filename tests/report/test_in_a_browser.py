"""What a reader does: opens the file, searches, sorts, and clicks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.report import write_report

pytestmark = pytest.mark.browser

DEEP = """
const all = (root, selector) => [
  ...root.querySelectorAll(selector),
  ...[...root.querySelectorAll("*")].flatMap(e => e.shadowRoot ? all(e.shadowRoot, selector) : []),
];
const found = all(document, arguments[0]);
"""


def opened(browser: Any, folder: Path, tmp_path: Path) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    write_report({"run": folder}, tmp_path / "report.html")
    browser.get((tmp_path / "report.html").as_uri())
    WebDriverWait(browser, 60).until(lambda driver: cells(driver))


def cells(browser: Any) -> list[str]:
    """The first column of the table, as far as it is shown, from top to bottom."""
    script = (
        DEEP
        + """
    return found.sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top)
      .map(row => row.querySelector(".slick-cell").innerText);
    """
    )
    shown: list[str] = browser.execute_script(script, ".slick-row")
    return shown


def wait(browser: Any, expected: Callable[[list[str]], bool]) -> None:
    """Waits until the table is as expected, and fails if it never is."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 20).until(lambda driver: expected(cells(driver)))


def text(browser: Any, name: str) -> str:
    model = f"Bokeh.documents[0].get_model_by_name('{name}')"
    return str(browser.execute_script(f"return {model}.text"))


def element(browser: Any, selector: str, number: int = 0) -> Any:
    return browser.execute_script(DEEP + "return found[arguments[1]];", selector, number)


@pytest.mark.parametrize("name", ["flips", "exact", "graphs", "none"])
def test_no_errors(
    name: str,
    browser: Any,
    console_errors: Callable[[], list[str]],
    runs: dict[str, Path],
    tmp_path: Path,
) -> None:
    write_report({"run": runs[name]}, tmp_path / "report.html")
    browser.get((tmp_path / "report.html").as_uri())
    browser.implicitly_wait(2)
    assert browser.execute_script("return Bokeh.documents.length") == 1
    assert console_errors() == []


def test_search_sort_and_select(browser: Any, runs: dict[str, Path], tmp_path: Path) -> None:
    opened(browser, runs["flips"], tmp_path)
    certificate = Certificate.load(runs["flips"] / "certificate.npz")
    order = [str(i) for i in certificate.index]
    assert cells(browser) == [i for i in order if i in cells(browser)]  # some of all rows

    # The surest node is shown first; a click on another row shows that one.
    assert f"Node {certificate.index[certificate.p_lower.argmax()]}" in text(browser, "caption")
    row = element(browser, ".slick-row .slick-cell", 0)
    shown = row.text
    row.click()
    assert f"Node {shown}</b>" in text(browser, "caption")

    element(browser, ".slick-header-column", 0).click()
    wait(browser, lambda rows: len(rows) > 3 and rows == sorted(rows, key=int))

    wanted = str(certificate.index[7])
    element(browser, "input[type=text], input.bk-input").send_keys(f"node={wanted}\n")
    wait(browser, lambda rows: rows == [wanted])
