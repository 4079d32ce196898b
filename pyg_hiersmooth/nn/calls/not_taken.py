r"""Why a cheaper way to call a model is not taken."""

from __future__ import annotations


class NotTaken(Exception):
    r"""Says why a shortcut is not taken, but the plain path.

    It is caught where the plain path is chosen, and is no :class:`ValueError`, so that it never
    reaches a user.
    """
