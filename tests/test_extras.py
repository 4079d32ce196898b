from __future__ import annotations

import math

import pytest

from pyg_hiersmooth.extras import require


def test_an_installed_module_is_imported() -> None:
    assert require("math", extra="plot") is math


def test_a_missing_module_names_its_package_and_extra() -> None:
    with pytest.raises(ImportError, match=r"'missing' is not installed.* '\.\[plot\]'"):
        require("missing.module", extra="plot")
