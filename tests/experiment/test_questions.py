from __future__ import annotations

import pytest

from pyg_hiersmooth.experiment.questions import parse_question


def test_numbers_stay_what_they_are() -> None:
    assert parse_question("r=1,deletions=5") == {"r": 1, "deletions": 5}
    question = parse_question(" r = 2 , eps = 0.25, norm=2 ")
    assert question == {"r": 2, "eps": 0.25, "norm": 2} and isinstance(question["r"], int)


@pytest.mark.parametrize("text", ["", "r", "r=", "=1", "r=one", "r=1,r=2", "r=true", "r=1;eps=2"])
def test_what_is_no_question(text: str) -> None:
    with pytest.raises(ValueError, match="'until' must hold questions such as"):
        parse_question(text)
