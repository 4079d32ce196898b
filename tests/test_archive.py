from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pyg_hiersmooth.archive import read_archive, write_archive

ARRAYS = {"a": np.arange(3), "b": np.array([[0.1, np.nan]], dtype=np.float32)}


def changed(path: Path, **arrays: np.ndarray) -> bytes:
    """The file with other arrays in it."""
    with np.load(path) as file:
        np.savez(path, **{**file, **arrays})
    return path.read_bytes()


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    write_archive(path, {"format": "some 2", "x": None}, ARRAYS)
    settings, arrays = read_archive(path.read_bytes(), "some 1", "some 2")
    assert settings == {"format": "some 2", "x": None} and arrays.keys() == ARRAYS.keys()
    for name, array in arrays.items():
        assert array.dtype == ARRAYS[name].dtype
        np.testing.assert_array_equal(array, ARRAYS[name])


def test_other_formats_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    write_archive(path, {"format": "some 2"}, ARRAYS)
    with pytest.raises(ValueError, match="unknown format 'some 2'"):
        read_archive(path.read_bytes(), "some 1")


def test_other_contents_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    write_archive(path, {"format": "some 2"}, ARRAYS)
    content = changed(path, a=np.array([0, 1, 3]))
    with pytest.raises(ValueError, match="checksum does not match its content"):
        read_archive(content, "some 2")
    settings = np.array('{"format": "some 1"}')
    content = changed(path, settings=settings)
    with pytest.raises(ValueError, match="checksum does not match its content"):
        read_archive(content, "some 1", "some 2")
    assert read_archive(content, "some 2", unchecked="some 1")[0] == {"format": "some 1"}


def test_nothing_pickled_is_read(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    write_archive(path, {"format": "some 2"}, ARRAYS)
    content = changed(path, a=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        read_archive(content, "some 2")
