r"""Why a cheaper way to call a model is not taken."""

from __future__ import annotations


class NotTaken(Exception):
    r"""A cheaper way is not taken, for the reason that this says, and the plain way is.

    It is caught where the plain way is chosen, and is no :class:`ValueError`: none reaches a user.
    """
