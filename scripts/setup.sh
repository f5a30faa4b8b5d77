# Set-up shared by run.sh and test.sh; sourced, not run. Bash 3.2 (macOS) reads it too.
#
#   set_up window|service SET…    makes .venv, brings the system's libraries and the requirement sets
#
# Each thing that is done leaves a stamp in .venv, written last and by rename. So a second start compares hashes and
# goes on, and a set-up that was interrupted goes on where it stopped. `window` wants the libraries that Qt draws with;
# `service` takes them where apt may install them and does without them elsewhere.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
VENV="$ROOT/.venv"
PYTHON="$VENV/bin/python"
SETS="core dev deep rl api assistant alerts reports scale boost"
TORCH_INDEX="https://download.pytorch.org/whl/cpu"

# soname:package of Debian and Ubuntu, by group: any start; the window (the first six offscreen, the others for X11);
# the set `reports`.
SERVICE_LIBRARIES="libgomp.so.1:libgomp1"
WINDOW_LIBRARIES="libglib-2.0.so.0:libglib2.0-0 libEGL.so.1:libegl1 libGL.so.1:libgl1 libxkbcommon.so.0:libxkbcommon0
  libdbus-1.so.3:libdbus-1-3 libfontconfig.so.1:libfontconfig1
  libxcb-cursor.so.0:libxcb-cursor0 libxkbcommon-x11.so.0:libxkbcommon-x11-0 libxcb-icccm.so.4:libxcb-icccm4
  libxcb-keysyms.so.1:libxcb-keysyms1 libxcb-shape.so.0:libxcb-shape0 libX11-xcb.so.1:libx11-xcb1"
REPORT_LIBRARIES="libpango-1.0.so.0:libpango-1.0-0 libpangoft2-1.0.so.0:libpangoft2-1.0-0
  libharfbuzz-subset.so.0:libharfbuzz-subset0"

say() { printf '==> %s\n' "$*" >&2; }
stop() { printf 'error: %s\n' "$*" >&2; exit 1; }

digest() { if command -v sha256sum >/dev/null 2>&1; then sha256sum; else shasum -a 256; fi | cut -d' ' -f1; }
requirements_of() { if [ "$1" = core ]; then echo "$ROOT/requirements.txt"; else echo "$ROOT/requirements-$1.txt"; fi; }

# The stamp's text: everything that the thing was made from.
key_of_set() { { uname -sm; cat "$VENV/pyvenv.cfg" "$(requirements_of "$1")"; } | digest; }
stamped() { [ -f "$VENV/.ready-$1" ] && [ "$(cat "$VENV/.ready-$1")" = "$2" ]; }
stamp() { printf '%s\n' "$2" >"$VENV/.ready-$1.$$" && mv -f "$VENV/.ready-$1.$$" "$VENV/.ready-$1"; }

python_works() { [ -x "$PYTHON" ] && [ -f "$VENV/pyvenv.cfg" ] && "$PYTHON" -c '' 2>/dev/null; }

# The groups of libraries that a start needs, and what each is made of.
groups_of() {
  [ "$(uname -s)" = Linux ] || return 0
  local group
  echo service
  for group in "$@"; do case "$group" in window | reports) echo "$group" ;; esac; done
}
libraries_of() {
  case "$1" in service) echo $SERVICE_LIBRARIES ;; window) echo $WINDOW_LIBRARIES ;; reports) echo $REPORT_LIBRARIES ;; esac
}

is_ready() {
  local part
  python_works || return 1
  for part in $(groups_of "$@"); do stamped "libraries-$part" "$(libraries_of "$part" | digest)" || return 1; done
  shift
  for part in "$@"; do stamped "$part" "$(key_of_set "$part")" || return 1; done
}

# --- the system ------------------------------------------------------------------------------------------------------

may_install() { command -v apt-get >/dev/null 2>&1 && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; }
as_root() { if [ "$(id -u)" = 0 ]; then env "$@"; else sudo -n env "$@"; fi; }

# apt where it may, otherwise the exact command and an end.
apt_install() {
  command -v apt-get >/dev/null 2>&1 || return 1
  if ! may_install; then
    {
      echo
      echo "QuantAI-Trad needs packages of the system, and installing them takes an administrator. Please run:"
      echo
      echo "    sudo apt-get update && sudo apt-get install -y --no-install-recommends $*"
      echo
      echo "and start this script again."
    } >&2
    exit 1
  fi
  say "apt-get install $*"
  as_root apt-get update -qq >&2 || say "apt-get update failed; trying with the package lists that are there"
  as_root DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 "$@" >&2 ||
    stop "apt-get could not install: $*. Its message is above; start this script again when that is solved."
}

missing_libraries() {
  local ldconfig known group pair
  ldconfig=$(PATH="$PATH:/sbin:/usr/sbin" command -v ldconfig) || return 0
  known=$("$ldconfig" -p)
  for group in $(groups_of "$@"); do
    for pair in $(libraries_of "$group"); do
      case "$known" in *"${pair%%:*} "*) ;; *) echo "$pair" ;; esac
    done
  done
}

# Everything the system lacks, asked for at once.
install_system_packages() {
  local missing packages
  missing=$(missing_libraries "$@")
  packages="$(missing_python) $(printf '%s\n' $missing | sed 's/.*://' | sort -u | tr '\n' ' ')"
  packages=$(echo $packages)
  [ -n "$packages" ] || return 0
  apt_install $packages || {
    [ -z "$missing" ] ||
      stop "these libraries are missing: $(echo $missing | sed 's/:[^ ]*//g'). Install them with your system's package manager and start again."
    return 0
  }
  missing=$(missing_libraries "$@")
  [ -z "$missing" ] || stop "the packages are installed, but these libraries are still not found: $(echo $missing)."
}

# --- Python ----------------------------------------------------------------------------------------------------------

suits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; }

find_python() {
  local name
  for name in "${QUANTAI_PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.14; do
    if [ -n "$name" ] && command -v "$name" >/dev/null 2>&1 && suits "$name"; then
      command -v "$name"
      return 0
    fi
  done
  return 1
}
has_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }
venv_works() { python_works && "$PYTHON" -m pip --version >/dev/null 2>&1; }

# The packages of Debian and Ubuntu that a virtual environment still needs.
missing_python() {
  local python
  venv_works && return 0
  if python=$(find_python); then
    has_venv "$python" || "$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'
  elif command -v python3 >/dev/null 2>&1; then
    echo python3.11 python3.11-venv # the system's own is older; Ubuntu 22.04 has this one besides
  else
    echo python3 python3-venv
  fi
}

make_venv() {
  local python
  python=$(find_python) ||
    stop "Python 3.11 or newer was not found. Install it (from python.org, or brew install python@3.13) and start again."
  has_venv "$python" || stop "$python has no 'venv' and 'ensurepip' modules; install them and start again."
  say "making .venv with $("$python" --version)"
  rm -rf "$VENV"
  "$python" -m venv "$VENV" || stop "could not make $VENV: is the folder writable and the disk not full?"
}

# On Linux the CPU build of torch goes first and the other pins, which are complete, follow without looking at what
# they need: the plain pin would bring gigabytes of CUDA packages.
needs_cpu_torch() { [ "$(uname -s)" = Linux ] && grep -q '^torch==' "$(requirements_of "$1")"; }
install_torch() {
  local pin
  pin=$(sed -n 's/^torch==\([^ ;]*\).*/\1/p' "$(requirements_of "$1")")
  "$PYTHON" -c "import importlib.metadata as m, sys; sys.exit(m.version('torch') != '$pin+cpu')" 2>/dev/null && return 0
  say "installing torch $pin (CPU build)"
  "$PYTHON" -m pip install --quiet --no-deps "torch==$pin+cpu" 2>/dev/null ||
    "$PYTHON" -m pip install --quiet --no-deps --extra-index-url "$TORCH_INDEX" "torch==$pin+cpu" ||
    stop "the CPU build of torch $pin was found neither where pip looks nor at $TORCH_INDEX (message above)."
}

install_set() {
  local set=$1 file began options=""
  file=$(requirements_of "$set")
  began=$SECONDS
  # An install that was cut short may have left packages without all their files or their byte code.
  if [ -f "$VENV/.installing-$set" ]; then options=--force-reinstall; else touch "$VENV/.installing-$set"; fi
  say "installing $(grep -c '^[a-z]' "$file") pinned packages ($set)"
  if needs_cpu_torch "$set"; then
    install_torch "$set"
    grep -v '^torch==' "$file" >"$VENV/.pins-$set.txt"
    file="$VENV/.pins-$set.txt"
    options="$options --no-deps"
  fi
  if ! "$PYTHON" -m uv --version >/dev/null 2>&1; then
    "$PYTHON" -m pip install --quiet --disable-pip-version-check uv || say "uv could not be installed; pip takes its place"
  fi
  if ! "$PYTHON" -m uv pip install --python "$PYTHON" --compile-bytecode $options -r "$file" >&2; then
    say "uv did not succeed; trying pip, which is slower and reads pip's own settings"
    "$PYTHON" -m pip install --disable-pip-version-check $options -r "$file" >&2 ||
      stop "the packages of $set could not be installed (message above). Check the network and start again."
  fi
  stamp "$set" "$(key_of_set "$set")"
  rm -f "$VENV/.installing-$set"
  say "$set is installed ($((SECONDS - began)) s)"
}

# --- one at a time ---------------------------------------------------------------------------------------------------

lock() {
  mkdir -p "$ROOT/.venv.setup" || stop "$ROOT is not writable; unpack the program where you may write."
  if command -v flock >/dev/null 2>&1; then
    exec 9>"$ROOT/.venv.setup/lock"
    if ! flock -n 9; then
      say "another set-up is running; waiting for it"
      flock 9
    fi
  else
    local held=""
    until ln -s "$$" "$ROOT/.venv.setup/pid" 2>/dev/null; do
      held=$(readlink "$ROOT/.venv.setup/pid" || true)
      if [ -n "$held" ] && ! kill -0 "$held" 2>/dev/null; then
        rm -f "$ROOT/.venv.setup/pid"
      else
        say "another set-up is running ($held); waiting for it"
        sleep 2
      fi
    done
    trap 'rm -f "$ROOT/.venv.setup/pid"' EXIT
  fi
}

unlock() {
  if command -v flock >/dev/null 2>&1; then exec 9>&-; else rm -f "$ROOT/.venv.setup/pid"; trap - EXIT; fi
}

set_up() {
  # The program's byte code is kept: without it every start is seconds slower.
  unset PYTHONDONTWRITEBYTECODE PYTHONHOME
  local needs=$1 set group
  is_ready "$@" && return 0
  say "setting up in $ROOT (once; a later start skips this)"
  trap 'printf "\ninterrupted; start again to go on with the set-up\n" >&2; exit 130' INT TERM
  lock
  # Without a window its libraries are a welcome extra, never a reason to stop.
  if [ "$needs" = service ] && may_install; then set -- window "${@:2}"; fi
  install_system_packages "$@"
  venv_works || make_venv
  for group in $(groups_of "$@"); do stamp "libraries-$group" "$(libraries_of "$group" | digest)"; done
  shift
  for set in "$@"; do stamped "$set" "$(key_of_set "$set")" || install_set "$set"; done
  unlock
  trap - INT TERM
  say "set-up is done ($SECONDS s)"
}
