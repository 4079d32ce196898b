"""What a reader does: opens the file, searches, sorts, and clicks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyg_hiersmooth.certificates import Certificate
from pyg_hiersmooth.plotting import COLORS
from pyg_hiersmooth.report import write_report
from pyg_hiersmooth.report.look import DARK
from pyg_hiersmooth.report.reported_run import ReportedRun

pytestmark = pytest.mark.browser

DEEP = """
const all = (root, selector) => [
  ...root.querySelectorAll(selector),
  ...[...root.querySelectorAll("*")].flatMap(e => e.shadowRoot ? all(e.shadowRoot, selector) : []),
];
const found = all(document, arguments[0]);
"""

NEAR = """
const data = name => Bokeh.documents[0].get_model_by_name(name).data_source.data;
const alphas = data("run0-near-edges").alpha;
return [data("run0-near-nodes").x.length, alphas.filter(each => each > 0.5).length];
"""
SELECT = (
    "Bokeh.documents[0].get_model_by_name('run0-table').source.selected.indices = [arguments[0]]"
)


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


def chosen(browser: Any) -> str:
    """What is said of the selected object."""
    return str(browser.execute_script("return document.getElementById('run0-chosen').innerText"))


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
    documents = browser.execute_script("return window.Bokeh ? Bokeh.documents.length : 0")
    assert documents == (name != "none")
    assert console_errors() == []


def test_search_sort_and_select(browser: Any, runs: dict[str, Path], tmp_path: Path) -> None:
    opened(browser, runs["flips"], tmp_path)
    certificate = Certificate.load(runs["flips"] / "certificate.npz")
    order = [str(i) for i in certificate.index]
    assert cells(browser) == [i for i in order if i in cells(browser)]  # some of all rows

    # The surest node is shown first; a click on another row shows that one.
    assert chosen(browser).startswith(f"Node {certificate.index[certificate.p_lower.argmax()]}\n")
    row = element(browser, ".slick-row .slick-cell", 0)
    shown = row.text
    row.click()
    assert chosen(browser).startswith(f"Node {shown}\n")

    element(browser, ".slick-header-column", 0).click()
    wait(browser, lambda rows: len(rows) > 3 and rows == sorted(rows, key=int))

    wanted = str(certificate.index[7])
    element(browser, "input[type=text], input.bk-input").send_keys(f"node={wanted}\n")
    wait(browser, lambda rows: rows == [wanted])


def test_a_chosen_node_shows_its_neighbors(
    browser: Any, runs: dict[str, Path], tmp_path: Path
) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    opened(browser, runs["flips"], tmp_path)
    run = ReportedRun.read(runs["flips"], "run")
    assert run.edges is not None and run.certificate is not None
    for position in (0, 5):
        node = run.certificate.index[position]
        near = run.edges[1, np.isin(run.edges[0], [node, *run.edges[1, run.edges[0] == node]])]
        browser.execute_script(SELECT, position)
        expected = [len({node, *near}), int((run.edges[0] == node).sum())]
        shown = partial(lambda expected, driver: driver.execute_script(NEAR) == expected, expected)
        WebDriverWait(browser, 20).until(shown)


def test_a_click_on_a_legend_hides_a_curve(
    browser: Any, runs: dict[str, Path], tmp_path: Path
) -> None:
    opened(browser, runs["flips"], tmp_path)
    script = "return Bokeh.documents[0].get_model_by_name('run0-curve-0-1-dots').visible"
    assert browser.execute_script(script) is True
    element(browser, ".legend button", 1).click()
    assert browser.execute_script(script) is False
    element(browser, ".legend button", 1).click()
    assert browser.execute_script(script) is True


def test_each_run_has_a_tab(browser: Any, runs: dict[str, Path], tmp_path: Path) -> None:
    write_report({"one": runs["flips"], "two": runs["exact"]}, tmp_path / "report.html")
    browser.get((tmp_path / "report.html").as_uri())
    shown = "return [...document.querySelectorAll('h1')].filter(e => e.offsetParent)"
    assert [each.text for each in browser.execute_script(shown)] == ["2 runs compared"]
    element(browser, ".tabs button", 2).click()
    assert [each.text for each in browser.execute_script(shown)] == ["two"]
    wait(browser, lambda rows: len(rows) > 3)


@pytest.mark.parametrize("name", ["flips", "exact", "graphs"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_and_have_their_own_colors(
    name: str, width: int, scheme: str, browser: Any, runs: dict[str, Path], tmp_path: Path
) -> None:
    """Leaves a screenshot in the folder of the test."""
    command = browser.execute_cdp_cmd
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    size = {"width": width, "deviceScaleFactor": 1, "mobile": width < 500}
    try:
        command("Emulation.setEmulatedMedia", {"features": features})
        command("Emulation.setDeviceMetricsOverride", {**size, "height": 900})
        write_report({"run": runs[name], "b": runs["none"]}, tmp_path / "report.html")
        browser.get((tmp_path / "report.html").as_uri())
        for tab in (0, 1):
            element(browser, ".tabs button", tab).click()
            fits = "return [document.documentElement.scrollWidth, innerWidth]"
            used, given = browser.execute_script(fits)
            assert used <= given == width
        wait(browser, lambda rows: len(rows) > 3)
        color = "return Bokeh.documents[0].get_model_by_name('run0-curve-0-0').glyph.line_color"
        light = COLORS[0]
        wanted = light if scheme == "light" else DARK[light]
        assert wanted in str(browser.execute_script(color))
        page = "return getComputedStyle(document.body).backgroundColor"
        assert (browser.execute_script(page) == "rgb(255, 255, 255)") == (scheme == "light")
        browser.save_screenshot(str(tmp_path / f"{name}-{width}-{scheme}.png"))
    finally:
        command("Emulation.setEmulatedMedia", {"features": []})
        command("Emulation.clearDeviceMetricsOverride", {})


def test_what_files_hold_is_shown_as_text(
    browser: Any, runs: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(runs["flips"], tmp_path / "run")
    settings = json.loads((folder / "settings.json").read_text())
    settings["options"]["model"] = "mine:<script>document.title = 'bad'</script>"
    (folder / "settings.json").write_text(json.dumps(settings))
    write_report({"<img src=x onerror=alert(1)>": folder}, tmp_path / "report.html")
    browser.get((tmp_path / "report.html").as_uri())
    assert element(browser, "h1").text == "<img src=x onerror=alert(1)>"
    element(browser, "summary").click()
    assert "mine:<script>document.title = 'bad'</script>" in element(browser, "details").text
    assert browser.title == "Certificates: <img src=x onerror=alert(1)>"
