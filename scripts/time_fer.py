"""Time of the fer package for all frames of a video, for comparison with predict.

python3 -m venv peer && peer/bin/pip install fer==25.10.3
time peer/bin/python scripts/time_fer.py VIDEO
"""

import sys
import time

import cv2

started = time.perf_counter()
from fer.fer import FER  # noqa: E402 - importing is part of what is timed

detector = FER()
loaded = time.perf_counter()
video, answers = cv2.VideoCapture(sys.argv[1]), []
while True:
    valid, frame = video.read()
    if not valid:
        break
    answers.append(detector.detect_emotions(frame))
done = time.perf_counter()
found = [faces[0]["emotions"] for faces in answers if faces]
middle = max(found[len(found) // 2].items(), key=lambda item: item[1]) if found else "no face"
print(f"loaded in {loaded - started:.2f} s, then {done - loaded:.2f} s for {len(answers)} frames")
print(f"middle frame: {middle}")
