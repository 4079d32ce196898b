r"""Questions about robustness as text, which settings and command lines hold."""

from __future__ import annotations

import json
from typing import Any


def parse_question(text: str) -> dict[str, Any]:
    r"""The question that a text such as ``"r=1,deletions=5"`` or ``"r=5,only=new_nodes"`` asks, as
    :func:`~pyg_hiersmooth.certificates.check_questions` takes it.

    Raises:
        ValueError: If it is no list of names and numbers.
    """
    question: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = (each.strip() for each in part.partition("="))
        try:
            if not (name and equals) or name in question:
                raise ValueError
            if name == "only":  # the only one that is a word
                question[name] = value
                continue
            number = json.loads(value)
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise ValueError
        except ValueError:
            raise ValueError(
                f"'until' must hold questions such as 'r=1,deletions=5' (got {text!r})"
            ) from None
        question[name] = number
    return question
