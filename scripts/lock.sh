#!/usr/bin/env bash
# Resolve requirements*.in into the lock files; run it after changing a version there.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=.venv/bin/uv
for name in requirements requirements-test requirements-newest; do
  "$uv" pip compile -q --python-platform linux --python-version 3.11 --no-header --no-annotate \
    "$name.in" -o "${name%.in}.lock"
done
