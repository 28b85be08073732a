"""Which clips a model can be scored on, and why the others are left out."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field

from emorec_tf.config.clip import Clip
from emorec_tf.datasets import labels
from emorec_tf.errors import UserError
from emorec_tf.evaluation import crosscorpus, crosscorpus_plan
from emorec_tf.records.records_dir import Records
from emorec_tf.training.run_dir import Run

SHOWN = 3  # clips or reasons in a line
_LOG = logging.getLogger(__name__)


@dataclass
class Sorted:
    """Clips that are scored, and why others are not."""

    clips: list[Clip]
    left_out: dict[str, str] = field(default_factory=dict)  # reason by clip id

    @property
    def counts(self) -> dict[str, int]:
        """Number of clips by the reason why they are left out."""
        return dict(Counter(self.left_out.values()))

    @property
    def line(self) -> str:
        """The most frequent reasons, to go on with a sentence; "" where no clip is left out."""
        found = Counter(self.counts).most_common(SHOWN)
        return "".join(f"; {reason} ({count} clips)" for reason, count in found)

    def log(self) -> None:
        """Name some of the clips that are left out, by reason."""
        for reason, count in self.counts.items():
            ids = [i for i, said in self.left_out.items() if said == reason]
            more = ", ..." if count > SHOWN else ""
            named = f"{', '.join(ids[:SHOWN])}{more}"
            _LOG.warning("%d clips not scored: %s (%s)", count, reason, named)


def sort(run: Run, records: Records, label_map: str | None) -> Sorted:
    """Sort out the clips that cannot be scored.

    Raises:
        UserError: a wrong label map, or only speakers that the model was trained on.
    """
    left_out = {name: f"refused by prepare: {why}" for name, why in records.refused.items()}
    every = {clip.clip_id for clip in records.clips}
    clips = labels.mapped(records.clips, label_map)
    dropped = every - {clip.clip_id for clip in clips}
    left_out |= dict.fromkeys(sorted(dropped), "left out by label_map")
    kept: list[Clip] = []
    parts = crosscorpus_plan.by_corpus(clips, str(records.manifest["dataset"]))
    for corpus, part in parts.items():
        unknown = crosscorpus.unknown_clips(run, corpus, part)
        ids = {clip.clip_id for clip in unknown}
        known = [clip.clip_id for clip in part if clip.clip_id not in ids]
        left_out |= dict.fromkeys(known, f"the model was trained on this speaker of {corpus}")
        kept += unknown
    if not kept:
        raise UserError(
            f"{run.folder} was trained on all speakers of {records.folder}, so a score would say "
            f"nothing; take other clips"
        )
    for clip in kept:
        if clip.emotion not in run.classes:
            left_out[clip.clip_id] = f"the model has no class {clip.emotion}"
    return Sorted([clip for clip in kept if clip.clip_id not in left_out], left_out)
