"""Packaged models that a packaged ensemble refers to: found beside it, and the very same ones."""

from __future__ import annotations

from emorec_tf.errors import UserError
from emorec_tf.training import run_dir
from emorec_tf.training.run_dir import Run
from emorec_tf.training.shared_weights import digest_of


def opened(run: Run) -> list[Run]:
    """Open the members of an ensemble that has no weights of its own.

    Raises:
        UserError: one is missing, damaged or another version than the ensemble was made of.
    """
    found = []
    for facts in run.members:
        folder = run.folder / facts["folder"]
        if not (folder / "run.json").exists():
            raise UserError(
                f"{run.folder} is made of {facts['name']}, which is not at {folder}; install "
                f"emorec-tf again, or put {facts['name']} there"
            )
        member = run_dir.load(folder)
        if not member.model_file.is_file() or digest_of(member.model_file) != facts["sha256"]:
            raise UserError(
                f"{member.model_file}, of which {run.folder} is made, is missing, damaged or of "
                f"another version; install emorec-tf again, or package {run.folder.name} again"
            )
        found.append(member)
    return found
