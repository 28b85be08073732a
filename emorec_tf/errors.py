"""Errors that a user can put right: commands print them in one line."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can put right. The message is one line: what, where, the way out.

    Commands print it as ``error: <message>`` and exit with status 1, without a traceback.
    """


class SetupError(UserError):
    """A model or package is missing or damaged: no clip is refused because of it."""
