"""The set-up script on a pretended machine: its Python, apt, ldconfig and user id are small stand-ins on PATH."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="run.ps1 takes its place on Windows")

REPOSITORY = Path(__file__).resolve().parent.parent.parent

PYTHON = """#!/bin/bash
echo "python $*" >>"$CALLS"
case "$*" in
  "-m venv "*)
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo "version = 3.11" >"$3/pyvenv.cfg" ;;
  *"import ensurepip"*) [ -f "$MACHINE/venv" ] ;;
  *"version_info[:2] <="*) [ ! -f "$MACHINE/old" ] ;;
  *"m.version('torch')"*) exit 1 ;;
  *"print("*) echo python3.11-venv ;;
  "-m uv pip install"*) [ ! -f "$MACHINE/offline" ] ;;
  "-m pip install"*" -r "*) [ ! -f "$MACHINE/offline" ] ;;
esac
"""
APT = """#!/bin/bash
echo "apt-get $*" >>"$CALLS"
case "$*" in *install*) touch "$MACHINE/venv" "$MACHINE/libraries" ;; esac
"""
LDCONFIG = """#!/bin/bash
[ ! -f "$MACHINE/libraries" ] || cat "$MACHINE/sonames"
"""


@dataclass(frozen=True)
class Machine:
    """A copy of the scripts on a machine that has only what a test gives it."""

    root: Path
    state: Path

    def has(self, *things: str) -> None:
        for thing in things:
            (self.state / thing).touch()

    def lacks(self, thing: str) -> None:
        (self.state / thing).unlink(missing_ok=True)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        (self.state / "calls").write_text("")
        home = {"PATH": f"{self.state}/bin:/usr/bin:/bin", "HOME": str(self.state), "MACHINE": str(self.state)}
        extra = {"CALLS": str(self.state / "calls")}
        return subprocess.run(
            ["bash", str(self.root / "scripts" / "run.sh"), *arguments],
            env={**home, **extra, **environment},
            cwd=self.state,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def calls(self, start: str = "") -> list[str]:
        lines = (self.state / "calls").read_text().splitlines()
        return [line for line in lines if line.startswith(start)]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A bare Linux machine where the user is root."""
    root, state = tmp_path / "program", tmp_path / "machine"
    (root / "scripts").mkdir(parents=True)
    (state / "bin").mkdir(parents=True)
    for name in ("run.sh", "setup.sh"):
        shutil.copy(REPOSITORY / "scripts" / name, root / "scripts")
    for path in REPOSITORY.glob("requirements*.txt"):
        shutil.copy(path, root)
    sonames = re.findall(r"(lib\S+?\.so\.\d):", (REPOSITORY / "scripts" / "setup.sh").read_text())
    (state / "sonames").write_text("".join(f"\t{name} (libc6,x86-64) => /lib/{name}\n" for name in sonames))
    uname = '#!/bin/bash\n[ "$1" = -s ] && echo Linux || echo Linux x86_64\n'
    stand_ins = {"python3": PYTHON, "apt-get": APT, "ldconfig": LDCONFIG, "uname": uname}
    stand_ins |= {"id": '#!/bin/bash\n[ -f "$MACHINE/user" ] && echo 1000 || echo 0\n', "sudo": "#!/bin/bash\nexit 1\n"}
    stand_ins |= {f"python3.{minor}": "#!/bin/bash\nexit 1\n" for minor in (11, 12, 13, 14)}
    for name, text in stand_ins.items():
        (state / "bin" / name).write_text(text)
        (state / "bin" / name).chmod(0o755)
    return Machine(root, state)


def test_a_bare_machine_gets_packages_venv_and_requirements_then_the_service(machine: Machine) -> None:
    done = machine.run("--headless", "run", "--bars", "5")
    assert done.returncode == 0, done.stderr
    apt = machine.calls("apt-get install")
    assert len(apt) == 1
    assert "python3.11-venv" in apt[0]
    assert "libegl1" in apt[0]
    assert "libgomp1" in apt[0]
    uv = machine.calls("python -m uv pip install")
    assert len(uv) == 1
    assert "--compile-bytecode" in uv[0]
    assert machine.calls()[-1] == "python -P -m app.main run --bars 5"


def test_a_second_start_installs_nothing(machine: Machine) -> None:
    machine.run("--headless")
    done = machine.run("--headless", "status")
    assert done.stderr == ""
    assert machine.calls() == ["python -c ", "python -P -m app.main status"]


def test_changed_requirements_are_installed_again(machine: Machine) -> None:
    machine.run("--setup-only")
    with (machine.root / "requirements.txt").open("a") as file:
        file.write("another==1.0\n")
    machine.run("--setup-only")
    assert len(machine.calls("python -m uv pip install")) == 1
    assert machine.calls("apt-get") == []
    machine.run("--setup-only")
    assert machine.calls("python -m uv pip install") == []


def test_an_install_that_was_cut_short_is_done_again_whole(machine: Machine) -> None:
    machine.has("offline")
    first = machine.run("--setup-only")
    assert first.returncode == 1
    assert "Check the network" in first.stderr
    machine.lacks("offline")
    second = machine.run("--setup-only")
    assert second.returncode == 0, second.stderr
    assert "--force-reinstall" in machine.calls("python -m uv pip install")[0]


def test_where_uv_fails_pip_is_tried(machine: Machine) -> None:
    machine.has("offline")
    machine.run("--setup-only")
    assert any(call.startswith("python -m pip install") and " -r " in call for call in machine.calls())


def test_who_may_not_install_is_told_the_exact_command(machine: Machine) -> None:
    machine.has("user")
    done = machine.run(DISPLAY=":0")
    assert done.returncode == 1
    assert machine.calls("apt-get") == []
    assert "sudo apt-get update && sudo apt-get install -y --no-install-recommends python3.11-venv" in done.stderr
    assert "libxcb-cursor0" in done.stderr


def test_the_service_does_without_the_libraries_of_the_window(machine: Machine) -> None:
    machine.has("user", "venv")
    done = machine.run("--headless")
    command = next(line for line in done.stderr.splitlines() if "apt-get install" in line)
    assert "libgomp1" in command
    assert "libegl1" not in command


def test_with_a_display_the_window_opens(machine: Machine) -> None:
    assert machine.run(WAYLAND_DISPLAY="wayland-0").returncode == 0
    assert machine.calls()[-1] == "python -P -m dashboard.app"


def test_without_a_display_the_service_runs(machine: Machine) -> None:
    machine.run()
    assert machine.calls()[-1] == "python -P -m app.main"


def test_a_command_goes_to_the_command_line_even_with_a_display(machine: Machine) -> None:
    machine.run("doctor", DISPLAY=":0")
    assert machine.calls()[-1] == "python -P -m app.main doctor"


def test_headless_help_is_the_program_s(machine: Machine) -> None:
    machine.run("--headless", "--help")
    assert machine.calls()[-1] == "python -P -m app.main --help"


def test_help_explains_without_setting_up(machine: Machine) -> None:
    done = machine.run("--help")
    assert done.returncode == 0
    assert "--setup-only" in done.stdout
    assert machine.calls() == []


def test_extras_are_installed_on_demand(machine: Machine) -> None:
    machine.run("--setup-only", "--with", "api,alerts")
    files = [call.rpartition("/")[2] for call in machine.calls("python -m uv pip install")]
    assert files == ["requirements.txt", "requirements-api.txt", "requirements-alerts.txt"]


def test_torch_is_the_cpu_build_and_brings_nothing_with_it(machine: Machine) -> None:
    done = machine.run("--setup-only", "--with", "deep")
    assert done.returncode == 0, done.stderr
    torch = [call for call in machine.calls("python -m pip install") if "torch==" in call]
    assert len(torch) == 1
    assert "+cpu" in torch[0]
    rest = machine.calls("python -m uv pip install")[-1]
    assert "--no-deps" in rest
    pins = Path(rest.rpartition(" ")[2]).read_text()
    assert "transformers==" in pins
    assert not any(line.startswith("torch==") for line in pins.splitlines())


def test_an_unknown_extra_is_wrong_usage(machine: Machine) -> None:
    done = machine.run("--with", "magic")
    assert done.returncode == 2
    assert "'magic'" in done.stderr
    assert "deep" in done.stderr


def test_no_python_that_is_new_enough_says_so(machine: Machine) -> None:
    machine.has("old", "venv", "libraries")
    done = machine.run("--setup-only")
    assert done.returncode == 1
    assert "Python 3.11 or newer was not found" in done.stderr


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("requirements*.txt")), ids=lambda path: path.name)
def test_requirements_are_pins_without_addresses(path: Path) -> None:
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            assert "==" in line.partition(";")[0], line
            assert "://" not in line
            assert "@" not in line


def test_pins_of_one_package_agree_between_the_files() -> None:
    pins: dict[str, set[str]] = {}
    for path in REPOSITORY.glob("requirements*.txt"):
        for line in path.read_text().splitlines():
            if not line.startswith("#"):
                name, _, version = line.partition(";")[0].strip().partition("==")
                if name != "xgboost":  # one version per Python, by markers
                    pins.setdefault(name, set()).add(version)
    assert {name: found for name, found in pins.items() if len(found) > 1} == {}


def test_every_extra_that_the_script_offers_has_its_requirements() -> None:
    text = (REPOSITORY / "scripts" / "setup.sh").read_text()
    offered = text.partition('SETS="')[2].partition('"')[0].split()
    there = {path.stem.removeprefix("requirements-") for path in REPOSITORY.glob("requirements-*.txt")}
    assert set(offered) - {"core"} == there


def test_a_start_that_is_set_up_takes_under_a_second(machine: Machine) -> None:
    machine.run("--setup-only")
    before = os.times()
    machine.run("--setup-only")
    after = os.times()
    assert after.elapsed - before.elapsed < 1.0
