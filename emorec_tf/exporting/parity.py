"""Parity check: an exported file must give the numbers of its run for the same clips."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from emorec_tf.config.clip import Clip
from emorec_tf.errors import UserError
from emorec_tf.inference import adapting, model_inputs
from emorec_tf.inference.presence import Basis
from emorec_tf.tasks import calibration
from emorec_tf.tasks.joint_familiarity import JointFamiliarity

if TYPE_CHECKING:
    from emorec_tf.exporting.export_graph import Serving

Arrays: TypeAlias = dict[str, np.ndarray]
Answer: TypeAlias = Callable[[Arrays], Arrays]

TOLERANCE = 1e-4  # largest difference of a probability, or of a rating
INT8_TOLERANCE = 0.2  # for 8-bit weights; differences of 0.003 to 0.15 were measured
FACTS = "emorec_tf.json"  # metadata of an exported file; also marks it as an export of this package
HELD = ("probabilities", "value", "answerable")  # outputs that must agree within the tolerance
REPEATS = 5  # of a timed call; the median counts


@dataclass(frozen=True)
class Case:
    """A clip as input of the exported file and as input of the run's network."""

    name: str
    raw: Arrays  # [1, ...] each
    example: Arrays


def clip_cases(
    served: Serving, paths: Sequence[str], face_model: str | None, mesh_model: str | None
) -> list[Case]:
    """Decode clips as ``predict`` does, and keep the waveform with its features."""
    from emorec_tf.features import examples

    features = served.run.config.features
    make = examples.maker(features, face_model, mesh_model, modalities=served.run.modalities)
    cases = []
    for path in paths:
        example = model_inputs.batch_of(make(model_inputs.clip_of(path))[0])
        clip = Clip(clip_id=path, speaker="", emotion="", video=path, audio=path)
        heard = examples.waveform_of(clip, features)
        cases.append(case(served, path, np.zeros(0) if heard is None else heard, example))
    return cases


def random_cases(served: Serving) -> list[Case]:
    """Draw random audio of several lengths with random frames, then each modality alone."""
    from emorec_tf.config.schema import schema
    from emorec_tf.features.audio_features import fit_length, layer_of

    features = served.run.config.features
    random = np.random.default_rng(0)
    front = layer_of(features)
    kinds = {
        "both": (1.0, 1),
        "half of each": (0.5, 0.5),
        "no audio": (0.0, 1),
        "no face": (1.0, 0),
    }
    cases = []
    for name, (heard, seen) in kinds.items():
        example = {}
        for array, spec in schema(features).items():
            shape = (1, *spec.shape)
            example[array] = (random.uniform(0, 256, shape) * (seen > 0)).astype(spec.dtype)
            if array.endswith("_mask"):
                real = np.arange(spec.shape[0]) < np.ceil(seen * spec.shape[0])
                example[array] = real[None].astype(np.float32)
        for array, mask in (("faces", "face_mask"), ("mesh", "mesh_mask")):
            if array in example:
                example[array][example[mask] == 0] = 0
        audio = 0.1 * random.normal(size=int(heard * features.clip_samples))
        padded, real = fit_length(audio.astype(np.float32), features)
        example["audio_mask"] = real[None].astype(np.float32)
        example["audio"] = np.asarray(front(padded[None])) * example["audio_mask"][..., None]
        cases.append(case(served, f"random: {name}", audio, example))
    return cases


def case(served: Serving, name: str, waveform: np.ndarray, example: Arrays) -> Case:
    """Pair an example with the raw arrays it comes from."""
    from emorec_tf.exporting.export_graph import SERVED_AS

    length = served.run.config.features.clip_samples
    waveform = waveform[:length].astype(np.float32)
    raw = {SERVED_AS.get(n, n): array for n, array in example.items()}
    raw["waveform"] = np.pad(waveform, (0, length - len(waveform)))[None]
    raw["samples"] = np.array([len(waveform)], np.int32)
    return Case(name, {n: raw[n] for n in served.inputs}, example)


def reference(served: Serving) -> Answer:
    """Return the function that predicts by the run itself, as ``predict`` does."""
    from emorec_tf.models import branch_outputs

    run, model = served.run, served.model
    adapt = adapting.adapter(run, model)
    network, compared = branch_outputs.with_branches(model), run.familiarity
    basis = Basis.of(model, run.modalities)

    def answer(example: Arrays) -> Arrays:
        found = network.predict_on_batch(adapt(example, None))
        raw, embedding = np.asarray(found["logits"]), branch_outputs.embedding_of(found)
        rows = [{n: a[i] for n, a in example.items()} for i in range(len(raw))]
        answerable = np.array([[basis.answerable(row)] for row in rows], np.float32)
        outputs = {"embedding": embedding, "answerable": answerable}
        temperature: float | np.ndarray = run.temperature or 1.0
        if isinstance(compared, JointFamiliarity):
            raw = compared.tempered(raw, found["experts"], embedding)
        if compared is not None:
            far, familiar = compared.of(embedding)
            outputs["familiarity"] = familiar[:, None]
            temperature = temperature * calibration.growth(run.unfamiliar_slope, far)
        predicted = run.task.predictions(raw, temperature)
        if run.task.rating:
            return {"value": predicted[:, None], **outputs}
        return {"probabilities": predicted, "logits": raw, **outputs}

    return answer


def predictions_of(
    answer: Answer, cases: Sequence[Case], given: Callable[[Case], Arrays]
) -> tuple[list[Arrays], float]:
    """Predict case by case; also return the seconds that one case takes (median)."""
    found = [answer(given(c)) for c in cases]
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        answer(given(cases[0]))
        seconds.append(time.perf_counter() - started)
    return found, round(statistics.median(seconds), 6)


def compare(
    name: str,
    answer: Answer,
    cases: Sequence[Case],
    wanted: Sequence[Arrays],
    tolerance: float = TOLERANCE,
) -> dict[str, Any]:
    """Largest differences of an export from the run, clip by clip and all in one batch.

    Returns:
        ``differences`` of each output, ``tolerance``, ``seconds_per_clip`` and, for a classifier,
        ``equal_answers``: the share of clips with the same predicted class.

    Raises:
        UserError: a probability (or value) differs by more than ``tolerance``, or what can be
            answered.
    """
    found, seconds = predictions_of(answer, cases, lambda c: c.raw)
    together = answer({n: np.concatenate([c.raw[n] for c in cases]) for n in cases[0].raw})
    differences = {}
    for output in wanted[0]:
        alone = [np.abs(f[output] - w[output]).max() for f, w in zip(found, wanted, strict=True)]
        batch = np.abs(together[output] - np.concatenate([w[output] for w in wanted])).max()
        differences[output] = float(max(*alone, batch))
        worst = cases[int(np.argmax(alone))].name if max(alone) >= batch else "all in one batch"
        # not "> tolerance", which NaN would pass
        if output in HELD and not differences[output] <= tolerance:
            raise UserError(
                f"{name} differs from the run by {differences[output]:.2g} in {output} ({worst}), "
                f"more than {tolerance:g}; it was not kept, please report this with the config"
            )
    row = {"differences": differences, "tolerance": tolerance, "seconds_per_clip": seconds}
    if "probabilities" in differences:
        same = [
            f["probabilities"].argmax() == w["probabilities"].argmax()
            for f, w in zip(found, wanted, strict=True)
        ]
        row["equal_answers"] = float(np.mean(same))
    return row


def rounded(own: Serving, cases: Sequence[Case], wanted: Sequence[Arrays]) -> dict[str, Any]:
    """Differences between a run in 16-bit precision and the same weights in float32."""
    found, _ = predictions_of(reference(own), cases, lambda case: case.example)
    pairs = list(zip(found, wanted, strict=True))
    differences = {
        output: max(float(np.abs(f[output] - w[output]).max()) for f, w in pairs)
        for output in wanted[0]
    }
    return {"precision": own.run.config.train.precision, "differences": differences}
