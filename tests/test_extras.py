from __future__ import annotations

import math

import pytest

from pyg_hiersmooth.extras import require


def test_an_installed_module_is_imported() -> None:
    assert require("math", extra="plot") is math


def test_a_missing_module_names_its_extra() -> None:
    with pytest.raises(ImportError, match=r"'no_such_module'.*pyg_hiersmooth\[plot\]"):
        require("no_such_module", extra="plot")
