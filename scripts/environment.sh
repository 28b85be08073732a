#!/usr/bin/env bash
# Create a virtual environment from a lock file, once: environment.sh FOLDER LOCK
# Uses PyPI only. A changed lock file is installed again.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1 lock=$2
installed="$folder/$(basename "$lock").sha256"
if [ -f "$installed" ] && sha256sum --status -c "$installed"; then exit 0; fi
python=""
for candidate in "${PYTHON:-}" python3.12 python3.11 python3; do
  if [ -n "$candidate" ] && "$candidate" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  echo "error: needs Python 3.11 or 3.12 with venv (Debian: apt-get install python3 python3-venv), or set PYTHON" >&2
  exit 1
fi
echo "installing $lock into $folder ($("$python" --version))"
[ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
"$folder/bin/python" -m pip install -q --disable-pip-version-check uv
# without this the first import would compile, perhaps without permission to write the result
"$folder/bin/uv" pip install -q --compile-bytecode --python "$folder/bin/python" -r "$lock"
# compat: a path, not a finder, which a folder named emorec_tf above the clone would precede
"$folder/bin/uv" pip install -q --python "$folder/bin/python" --no-deps \
  --config-settings editable_mode=compat -e .
sha256sum "$lock" > "$installed"
