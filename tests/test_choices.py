from __future__ import annotations

import pytest

from pyg_hiersmooth.choices import check_choice


def test_what_is_not_a_choice_is_refused() -> None:
    check_choice("kind", "b", ("a", "b"))
    for other in ("c", "", None, "A"):
        with pytest.raises(ValueError, match=rf"^'kind' must be one of a, b \(got {other!r}\)$"):
            check_choice("kind", other, ("a", "b"))
