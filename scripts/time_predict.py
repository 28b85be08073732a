"""Time of predict: from a cold start, for each further clip, and by processing step.

python scripts/time_predict.py RUN CLIP [CLIP ...]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from emorec_tf.storage.quiet import QUIET_START

REPEATS = 3


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of a call and the seconds it took."""
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def cold_seconds(run: str, clip: str) -> float:
    """Seconds for one clip in a new process."""
    command = [sys.executable, "-m", "emorec_tf.predict", "--run", run, "--json", clip]
    return timed(lambda: subprocess.run(command, check=True, capture_output=True))[1]


def parts(ready: Any, detect: Any, path: str) -> dict[str, float]:
    """Seconds of each processing step of one clip."""
    from emorec_tf.features import decoded, face_tracks
    from emorec_tf.inference import predictor
    from emorec_tf.media import decode

    features, spent = ready.run.config.features, {}

    def read() -> Any:
        recording = decode.decode(
            path,
            sample_rate_hz=None,
            clip_seconds=max(face_tracks.TRACK_SECONDS, features.clip_seconds),
            frame_rate_hz=face_tracks.TRACK_RATE_HZ if features.face_frames else 0.0,
            sparse=True,
        )
        return recording, list(recording.distinct_frames())

    (recording, frames), spent["decode"] = timed(read)
    looks, spent["face"] = timed(lambda: face_tracks.track(frames, detect))
    audio = decoded.AudioTrack.of(recording)
    seen = decoded.FaceTrack(looks, recording.seconds)
    (example, _), spent["features"] = timed(lambda: ready.assemble(audio, seen, path))
    _, spent["model"] = timed(lambda: ready.answer(predictor.batch_of(example)))
    return spent


def seconds_of(path: str) -> float:
    """How long a file lasts."""
    from emorec_tf.media.container import open_media

    with open_media(path) as source:
        return float(source.seconds)


def main(run: str, clips: list[str]) -> None:
    """Print the times."""
    from emorec_tf.features import face_detection
    from emorec_tf.inference import predictor

    print(f"cold start       {min(cold_seconds(run, clips[0]) for _ in range(REPEATS)):6.2f} s")
    ready = predictor.load(run)
    features = ready.run.config.features
    detect = face_detection.FACE_DETECTORS[features.face_detector](None)
    _, first = timed(lambda: ready.answer_clip(clips[0], speech_check=True))
    print(f"first clip       {first:6.2f} s, with the run loaded")
    rounds = [path for path in clips for _ in range(REPEATS)]
    spent = [timed(partial(ready.answer_clip, path, True))[1] for path in rounds]
    lasted = [min(seconds_of(path), features.clip_seconds) for path in rounds]
    print(f"further clip     {statistics.median(spent):6.2f} s")
    print(f"real-time factor {sum(spent) / sum(lasted):6.2f} of the clip's window")
    steps = [parts(ready, detect, path) for path in rounds]
    whole = sum(sum(step.values()) for step in steps)
    for name in steps[0]:
        print(f"  {name:14s} {sum(step[name] for step in steps) / whole:6.0%}")


if __name__ == "__main__":
    os.environ.update(QUIET_START)
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
