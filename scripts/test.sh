#!/usr/bin/env bash
# Sets up with test tools and runs every check. Arguments go to pytest: bash scripts/test.sh tests/trading -k fees
set -euo pipefail
SECONDS=0
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
set_up window core dev boost # CatBoost is a member that its tests really train

cd "$ROOT"
export PYTHONPATH="$ROOT"
# Tree libraries and numba with two threads each on a busy two-core machine are slower than with one.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=1
export QT_QPA_PLATFORM=offscreen
unset NUMBA_CACHE_DIR NUMBA_DISABLE_JIT NUMBA_BOUNDSCHECK

caches=${QUANTAI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/quantai-trad}
failed=""

# Every check runs, whatever the ones before it said.
section() {
  local title=$1 began=$SECONDS
  shift
  printf '\n──── %s\n' "$title"
  "$@" || failed="$failed${failed:+, }$title"
  printf '     (%s s)\n' "$((SECONDS - began))"
}
# Without its cache, which keeps an import as it was resolved before the module was there.
floors() { "$PYTHON" -c 'from importlinter.cli import lint_imports_command as c; c()' --no-logo --no-cache; }
# In one process: the other core compiles, and two workers would compile the same kernels twice.
marked() { "$PYTHON" -m pytest -m "$1"; }
with_bounds_checks() { (export NUMBA_BOUNDSCHECK=1 QUANTAI_CACHE="$caches/bounds-check" && marked kernel); }
not_compiled() { (export NUMBA_DISABLE_JIT=1 QUANTAI_CACHE="$caches/not-compiled" && marked nojit); }

# Compiling keeps one core busy: what reads the sources goes on beside it.
summary=$(mktemp) warmed=$(mktemp) warming=
trap 'kill ${warming:-} 2>/dev/null || true; rm -f "$summary" "$warmed"' EXIT
"$PYTHON" -m scripts.warm_kernels >"$warmed" 2>&1 &
warming=$!
compiled() { wait "$warming" && cat "$warmed" || { cat "$warmed"; false; }; }

section "ruff check" "$PYTHON" -m ruff check .
section "ruff format" "$PYTHON" -m ruff format --check .
section "mypy" "$PYTHON" -m mypy
section "floors (import-linter)" floors
if [ $# = 0 ]; then
  section "kernels, not compiled" not_compiled
  section "kernels with bounds checks" with_bounds_checks
fi
section "kernels, compiled once" compiled

printf '\n──── tests\n'
[ $# -gt 0 ] || set -- tests
"$PYTHON" -m pytest -n 2 --dist loadgroup --durations=20 "$@" 2>&1 | tee "$summary" || failed="$failed${failed:+, }tests"
if [ -n "$failed" ]; then
  printf '\nFAILED: %s\n' "$failed"
  tail -n 1 "$summary"
  exit 1
fi
