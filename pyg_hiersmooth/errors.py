r"""Errors that a program may want to tell apart."""

from __future__ import annotations

from typing import Any


class ImpureModelError(ValueError):
    r"""A model's votes would not be one fixed function of the noisy features and the graph: it
    keeps something between calls, mixes samples, or bypasses the noise.
    """


class AuditError(ImpureModelError):
    r"""A counted vote differs from that of a pristine copy of the model, called the plain way."""


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
