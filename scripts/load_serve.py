"""Load test of a running server: failures, latency and memory under parallel requests.

python -m emorec_tf.serve --run runs/demo-concat --queue 64 &
python scripts/load_serve.py http://127.0.0.1:8080 clip.mp4 --pid $!
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx


def main() -> None:
    """Send the requests and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("url")
    parser.add_argument("clip")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--parallel", type=int, default=50)
    parser.add_argument("--warm", type=int, default=20, help="requests before the measurement")
    parser.add_argument("--pid", type=int, help="process id of the server, to report its memory")
    given = parser.parse_args()
    data = Path(given.clip).read_bytes()
    limits = httpx.Limits(max_connections=given.parallel)
    with httpx.Client(base_url=given.url, timeout=600, limits=limits) as client:

        def one(_: int) -> tuple[str, float, str]:
            start = time.monotonic()
            try:
                answer = client.post("/predict", files={"clip": ("clip.mp4", data)})
                body = answer.text if answer.status_code == 200 else ""
                return str(answer.status_code), time.monotonic() - start, body
            except httpx.HTTPError as error:
                return type(error).__name__, time.monotonic() - start, ""

        for number in range(given.warm):
            one(number)
        before, start = resident_mb(given.pid), time.monotonic()
        with ThreadPoolExecutor(given.parallel) as pool:
            done = list(pool.map(one, range(given.requests)))
        took = time.monotonic() - start
        after = resident_mb(given.pid)
    seconds = sorted(second for _, second, _ in done)
    print(f"statuses        {dict(Counter(status for status, _, _ in done))}")
    print(f"other responses {len({body for _, _, body in done if body}) - 1}")
    print(f"requests        {len(done) / took:.1f} per second, {given.parallel} in parallel")
    for share in (0.5, 0.95, 1.0):
        print(f"seconds {share:4.0%}    {seconds[round(share * (len(seconds) - 1))]:.2f}")
    print(f"memory (MB)     {before:.0f} before, {after:.0f} after")


def resident_mb(pid: int | None) -> float:
    """Resident memory of a process in MB, from /proc; 0 without a process id."""
    if pid is None:
        return 0.0
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    main()
