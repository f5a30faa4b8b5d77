#!/usr/bin/env bash
# Writes dist/QuantAI-Trad-full-program.zip; --out DIR writes it elsewhere.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
python=$PYTHON
python_works || python=$(find_python) || stop "Python 3.11 or newer was not found; bash scripts/run.sh --setup-only brings one."
exec "$python" "$ROOT/scripts/bundle.py" "$@"
