#!/usr/bin/env bash
# Run the whole test suite in .venv (made if missing), or with --newest on the newest releases.
# Further arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" = "--newest" ]; then
  shift
  scripts/environment.sh .venv-newest requirements-newest.lock
  bin=.venv-newest/bin
else
  scripts/environment.sh .venv requirements-test.lock
  bin=.venv/bin
  # what these say depends on their versions and the stubs', so they count on the lock alone
  "$bin/ruff" check .
  "$bin/ruff" format --check .
  "$bin/mypy"
fi
TF_CPP_MIN_LOG_LEVEL=2 exec "$bin/pytest" -n 2 --dist loadfile "$@"
