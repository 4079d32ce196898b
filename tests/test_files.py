from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pyg_hiersmooth.files import JsonLines, replace_atomically


def test_the_file_appears_complete(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with replace_atomically(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_keeps_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with pytest.raises(error), replace_atomically(path) as file:
        file.write(b"half")
        raise error
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out"]


def test_the_mode_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with replace_atomically(tmp_path / "out") as file:
            file.write(b"x")
    finally:
        assert os.umask(before) == 0o027
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o640


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with replace_atomically("out") as file:
        file.write(b"x")
    assert (tmp_path / "out").read_bytes() == b"x"


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replace_atomically(tmp_path / "missing" / "out"):
        pass
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError), replace_atomically(tmp_path / "folder"):
        pass
    assert os.listdir(tmp_path) == ["folder"]


def test_an_interruption_just_after_the_file_took_its_place_is_not_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def interrupted(*paths: str) -> None:
        replace(*paths)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt), replace_atomically(tmp_path / "out") as file:
        file.write(b"new")
    assert (tmp_path / "out").read_bytes() == b"new" and os.listdir(tmp_path) == ["out"]


def test_lines_come_back_in_order(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path / "lines")
    assert lines.read() == []
    for number in range(3):
        lines.append({"number": number})
    assert lines.read() == [{"number": 0}, {"number": 1}, {"number": 2}]


def test_a_line_that_a_crash_cut_short_was_never_written(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path / "lines")
    lines.append({"number": 0})
    with open(lines.path, "ab") as file:
        file.write(b'{"number": 1')
    assert lines.read() == [{"number": 0}]
    lines.append({"number": 2})
    assert lines.read() == [{"number": 0}, {"number": 2}]


@pytest.mark.parametrize(
    ("line", "message"), [("{", "line 2 of .* is not JSON"), ("3", "line 2 of .* not a JSON obj")]
)
def test_lines_of_something_else_are_refused(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "lines").write_text(f"{{}}\n{line}\n")
    with pytest.raises(ValueError, match=message):
        JsonLines(tmp_path / "lines").read()


def test_processes_that_append_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from pyg_hiersmooth.files import JsonLines\n"
        "for i in range(200): JsonLines(sys.argv[1]).append({'of': sys.argv[2], 'i': i})"
    )
    file = tmp_path / "lines.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", code, file, name]) for name in "ab"]
    assert [writer.wait() for writer in writers] == [0, 0]
    for name in "ab":
        assert [each["i"] for each in JsonLines(file).read() if each["of"] == name] == [*range(200)]
