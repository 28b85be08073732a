"""What a user can mend: every error a command prints in one line."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can mend. The message is one line: what is wrong, where, the way out.

    Commands print it as ``error: <message>`` and exit with status 1, without a traceback.
    """


class SetupError(UserError):
    """A model or package that is missing or damaged: no clip's fault, so none is refused for it."""
