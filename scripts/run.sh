#!/usr/bin/env bash
# Starts QuantAI-Trad; the first time it sets everything up.
set -euo pipefail
SECONDS=0
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

usage() {
  cat <<'TEXT'
bash scripts/run.sh [--headless] [--setup-only] [--with EXTRA,…] [ARGUMENTS…]

  (nothing)        set-up if needed, then the window; without a display, the service in the terminal
  --headless       the service in the terminal: python -m app.main ARGUMENTS…
  --setup-only     stop after set-up
  --with a,b       also install extras: deep rl api assistant alerts reports scale boost
  ARGUMENTS        go to the program. A command (run, import, backtest, …) always goes to the command line:
                   bash scripts/run.sh --headless run --source synthetic --bars 500
                   bash scripts/run.sh --headless --help      lists every command

QUANTAI_HOME names the folder that holds the data (default: the user's data folder). QUANTAI_PYTHON names the Python
that .venv is made with.
TEXT
}

headless=no
setup_only=no
extras=""
while [ $# -gt 0 ]; do
  case "$1" in
    --headless) headless=yes ;;
    --setup-only) setup_only=yes ;;
    --with)
      [ $# -ge 2 ] || { echo "error: --with needs a list of extras, such as --with deep,api" >&2; exit 2; }
      extras=${2//,/ }
      shift
      ;;
    --with=*) extras=${1#--with=}; extras=${extras//,/ } ;;
    -h | --help)
      [ "$headless" = yes ] && break
      usage
      exit 0
      ;;
    *) break ;;
  esac
  shift
done
for extra in $extras; do
  case " ${SETS#core dev } " in
    *" $extra "*) ;;
    *) echo "error: there is no extra '$extra': use one of ${SETS#core dev }" >&2; exit 2 ;;
  esac
done

# A command is for the command line, and so is everything where there is no screen.
if [ "$(uname -s)" = Linux ] && [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then headless=yes; fi
case "${1:-}" in "" | -*) ;; *) headless=yes ;; esac

if [ "$headless" = yes ]; then needs=service; else needs=window; fi
set_up "$needs" core $extras
if [ "$setup_only" = yes ]; then exit 0; fi

# -P and PYTHONPATH: the program is found from any folder, and paths among the arguments mean what they say there.
export PYTHONPATH="$ROOT"
if [ "$headless" = yes ]; then exec "$PYTHON" -P -m app.main "$@"; fi
exec "$PYTHON" -P -m dashboard.app "$@"
