#!/usr/bin/env bash
# Resolve requirements*.in into the lock files; run it after changing a version there.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=.venv/bin/uv
for name in requirements requirements-test requirements-newest; do
  "$uv" pip compile -q --python-platform linux --python-version 3.11 --no-header --no-annotate \
    "$name.in" -o "${name%.in}.lock"
  # uv takes releases that refuse this Python by an upper bound, and pip does not: where this
  # fails, bound the release in the .in file
  .venv/bin/python -m pip install -q --disable-pip-version-check --dry-run --ignore-installed \
    -r "$name.lock"
done
