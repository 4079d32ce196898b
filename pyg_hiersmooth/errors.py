r"""Errors that a program may want to tell apart."""

from __future__ import annotations


class ImpureModelError(ValueError):
    r"""A model's votes would not be one fixed function of the noisy features and the graph: it
    keeps something between calls, mixes samples, or bypasses the noise.
    """


class AuditError(ImpureModelError):
    r"""A counted vote differs from that of a pristine copy of the model, called the plain way."""
