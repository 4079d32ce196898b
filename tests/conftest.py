from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

with contextlib.suppress(ModuleNotFoundError):  # the wheel is tested without it
    from hypothesis import settings

    # On machines that others use as well; a run that fails can be repeated.
    settings.register_profile("shared", deadline=None, derandomize=True)
    settings.register_profile("explore", deadline=None)
    settings.load_profile("shared")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell
    signal.signal(signal.SIGINT, signal.default_int_handler)

OnRanks = Callable[..., list[Any]]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All cases of a test marked ``one_in(n)`` are slow, but for every ``n``-th."""
    cases: Counter[str] = Counter()
    for item in items:
        mark = item.get_closest_marker("one_in")
        if mark is not None:
            test = item.nodeid.partition("[")[0]
            if cases[test] % mark.args[0] != 0:
                item.add_marker(pytest.mark.slow)
            cases[test] += 1


OWN = '''
import torch


class Net(torch.nn.Module):
    """A model of the user's own."""

    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.own = torch.nn.Linear(in_channels, num_classes)

    def forward(self, x, edge_index):
        return self.own(x)


def wide_net(in_channels, num_classes):
    return Net(10 * in_channels, num_classes)


class Needy(torch.nn.Module):
    def __init__(self, in_channels, num_classes, depth):
        super().__init__()


class Failing(torch.nn.Module):
    def __init__(self, in_channels, num_classes):
        super().__init__()
        assert num_classes == 2


class NoModel:
    def __init__(self, in_channels, num_classes):
        pass


size = 3
'''


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A writable copy of the real data in the folder that HIERSMOOTH_DATA names."""
    source = os.environ.get("HIERSMOOTH_DATA", "")
    if not Path(source, "Planetoid").is_dir():
        pytest.skip("real data: set HIERSMOOTH_DATA to a folder with Planetoid/Cora/raw and so on")
    root = tmp_path_factory.mktemp("data") / "real"
    shutil.copytree(source, root)
    return root


@pytest.fixture
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with modules of the user's own in it."""
    modules = {"own_models": OWN, "broken_models": "class Net(:", "failing_models": "1 / 0"}
    for name, code in modules.items():
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    yield tmp_path
    for name in modules:
        sys.modules.pop(name, None)


@pytest.fixture
def on_ranks(tmp_path: Path) -> OnRanks:
    """Calls a function with the number of each rank of a gloo group, in processes of their own:
    what it returned or raised, rank by rank, and None for a rank that ended without a word.
    """
    if sys.platform != "linux":
        pytest.skip("needs processes that are forked")
    context, groups = multiprocessing.get_context("fork"), iter(range(1_000))

    def run(function: Callable[[int], Any], size: int = 2, seconds: float = 60.0) -> list[Any]:
        meeting = f"file://{tmp_path / f'group{next(groups)}'}"

        def work(rank: int, sender: Any) -> None:
            torch.set_num_threads(1)  # OpenMP's threads do not survive a fork
            dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=size)
            try:
                outcome = function(rank)
            except Exception as error:
                outcome = error
            sender.send_bytes(pickle.dumps(outcome))

        outcomes: list[Any] = []
        started = []
        for rank in range(size):
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=work, args=(rank, sender))
            process.start()
            sender.close()
            started.append((process, receiver))
        try:
            for rank, (_, receiver) in enumerate(started):
                assert receiver.poll(seconds), f"rank {rank} of {size} hangs"
                try:
                    outcomes.append(pickle.loads(receiver.recv_bytes()))
                except EOFError:
                    outcomes.append(None)
        finally:
            for process, _ in started:
                process.join(5.0)
                process.kill()
        return outcomes

    return run


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window; tests that use it are marked ``browser``."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs Chromium")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,3000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield opened
    opened.quit()


@pytest.fixture
def console_errors(browser: Any) -> Callable[[], list[str]]:
    """What the browser's console has to complain of since the test began."""
    browser.get_log("browser")
    return lambda: [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"]
