#!/usr/bin/env bash
# Linters, types and the whole test suite in .venv (made if missing).
# --fast leaves out the tests marked slow; --newest runs on the newest releases, without linters.
# Further arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=.venv lock=requirements-test.lock
tests=(-n 2 --dist loadfile --no-loadscope-reorder --durations=30)
while :; do
  case "${1:-}" in
    --newest) folder=.venv-newest lock=requirements-newest.lock ;;
    --fast) tests+=(-m "not slow") ;;
    *) break ;;
  esac
  shift
done
scripts/environment.sh "$folder" "$lock"
if [ "$folder" = .venv ]; then
  # what these say depends on their versions and the stubs', so they count on the lock alone
  .venv/bin/ruff check .
  .venv/bin/ruff format --check .
  .venv/bin/mypy
fi
TF_CPP_MIN_LOG_LEVEL=2 exec "$folder/bin/pytest" "${tests[@]}" "$@"
