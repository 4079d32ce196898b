r"""Errors that a program may want to tell apart, and what a validation finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class ImpureModelError(ValueError):
    r"""A model's votes would not be one fixed function of the noisy features and the graph: it
    keeps something between calls, mixes samples, or bypasses the noise.
    """


class AuditError(ImpureModelError):
    r"""A counted vote differs from that of a fresh copy of the model, without shortcuts."""


class ContradictionError(RuntimeError):
    r"""An attack within the threat of a certificate changed a prediction that was certified: the
    certificate is wrong, or its error probability struck.

    Attributes:
        result (AttackResult): All attacks so far, the last of which is the one; ``result.save``
            keeps what reproduces it.
    """

    def __init__(self, message: str, result: Any) -> None:
        super().__init__(message)
        self.result = result


class NotCertifiableError(ValueError):
    r"""No certificate exists for this combination of smoothing, data and adversary, whatever the
    model: choose another one of them.
    """


@dataclass(frozen=True)
class Problem:
    r"""What a validation found.

    Args:
        kind (type): The error that certification would stop with, such as
            :class:`ImpureModelError`; a plain :class:`ValueError` or :class:`TypeError` where an
            argument is not in order.
        message (str): What is wrong, and what to do.
    """

    kind: type[Exception]
    message: str

    def __str__(self) -> str:
        return f"{self.kind.__name__}: {self.message}"
