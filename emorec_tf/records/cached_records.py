"""Records of a folder of clips that a command was given, made in the cache folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from emorec_tf.config.config import FeaturesConfig
from emorec_tf.records import prepare_records
from emorec_tf.records.prepare_records import Preparation
from emorec_tf.records.records_dir import Records
from emorec_tf.storage.cache_dir import cache_folder

FOLDER = "records"  # in the cache folder


def of_source(
    source: str | Path,
    dataset: str,
    features: FeaturesConfig,
    *,
    show_progress: bool = False,
    contents: str = "",
    **selection: Any,
) -> Records:
    """Prepare a corpus unless the same one was prepared before; changed folders are read again.

    Args:
        source: folder of the clips.
        dataset: name of the corpus, or "folder".
        features: of the records.
        show_progress: draw a progress bar.
        contents: hash of the clips, where changed ones are to become other records, beside the
            earlier ones.
        selection: which clips: ``label``, ``channel``, ``modality``, ``columns``, ``speakers``.

    Raises:
        UserError: no clips there, or none that can be used.
    """
    given = {name: value for name, value in selection.items() if value is not None}
    facts = [str(Path.cwd()), str(source), dataset, features.fingerprint(), given]
    facts += [contents] if contents else []
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    preparation = Preparation(
        dataset=dataset,
        source=str(source),
        records=str(cache_folder(FOLDER, f"{dataset}-{digest}")),
        overwrite=True,  # of a folder whose clips have changed
        allow_refused=True,
        **given,
    )
    return prepare_records.prepare(preparation, features, show_progress=show_progress)
