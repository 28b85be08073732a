"""Command: a clip to the arrays that an exported model takes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from emorec_tf.cli import guarded, parse_options
from emorec_tf.config.fields import FACE_MODEL, MESH_MODEL, check, option
from emorec_tf.storage.screen import say
from emorec_tf.training import model_store


@dataclass(frozen=True)
class InputsOptions:
    """Which clip, for which model, where to."""

    clip: tuple[str, ...] = option((), "video, audio file or image", positional=True)
    run: str | None = option(
        None,
        f"run folder that train wrote, or a model that zoo lists (default: "
        f"{model_store.DEFAULT_TEXT})",
        metavar="MODEL",
    )
    out: str = option(
        "clip.npz",
        "file to write, for numpy.load: each input of the exported model by its name, in a batch "
        "of one; an earlier file is replaced",
    )
    speech_check: bool = option(
        True, "leave the audio out where voice activity detection finds no speech"
    )
    face_model: str | None = option(None, FACE_MODEL, expert=True)
    mesh_model: str | None = option(None, MESH_MODEL, expert=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Check what needs no TensorFlow, then decode the clip and write its arrays."""
    options, _ = parse_options(argv, "inputs", InputsOptions, config_flag=False)
    folder = model_store.chosen(options.run, "inputs")
    check(len(options.clip) == 1, "clip", " ".join(options.clip), "one file")
    from emorec_tf.exporting import clip_inputs

    clip_inputs.check_place(options.out)
    from emorec_tf.inference import predictor

    loaded = predictor.load(folder, options.face_model, options.mesh_model)
    arrays = clip_inputs.of_clip(loaded, options.clip[0], options.speech_check)
    clip_inputs.write(arrays, options.out)
    say(f"written: {options.out}: {clip_inputs.described(arrays)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
