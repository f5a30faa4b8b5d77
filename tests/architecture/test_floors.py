"""The floors' rules hold on the real tree, and each of them catches a planted violation."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent
FLOORS = ("dashboard", "app", "database", "trading", "ai", "data")
LINT = "from importlinter.cli import lint_imports_command as c; c()"


def lint(root: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and text of import-linter over the tree at ``root``."""
    done = subprocess.run(
        [sys.executable, "-c", LINT, "--no-logo", "--no-cache", *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def skeleton(target: Path) -> Path:
    """The packages of the real tree as empty files, under the same rules."""
    for floor in FLOORS:
        for path in (REPOSITORY / floor).rglob("*.py"):
            copy = target / path.relative_to(REPOSITORY)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.touch()
    for name in ("data", "ai", "trading", "database"):
        (target / name / "settings.py").touch()
    (target / "scripts").mkdir()
    shutil.copy(REPOSITORY / "scripts" / "import_contracts.py", target / "scripts")
    shutil.copy(REPOSITORY / "pyproject.toml", target)
    return target


def plant(root: Path, module: str, line: str) -> None:
    """Write one import into a module of the skeleton, making it if it is new; imported modules are made too."""
    path = root / f"{module.replace('.', '/')}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{line}\n")
    imported = line.split()[1]
    if imported.split(".")[0] in FLOORS and "." in imported:
        target = root / f"{imported.replace('.', '/')}"
        if not target.is_dir() and not target.with_suffix(".py").exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.with_suffix(".py").touch()


FLOOR = "A floor imports only floors below it"
TRADING = "Of ai, trading knows forecasts, schema, exits and overfitting"
WINDOW = "The window sees only the contract"
LEAF = "The contract imports no project module"
CCXT = "ccxt is imported in one place"
QT = "Qt stays in the window"
SETTINGS = "Settings of a floor import only pydantic"

VIOLATIONS = [
    (FLOOR, "data.market", "import ai.forecast"),
    (FLOOR, "data.market", "import app.contract"),
    (FLOOR, "ai.exits", "import trading.records"),
    (FLOOR, "ai.exits", "import database.journal"),
    (FLOOR, "trading.records", "import database.journal"),
    (FLOOR, "database.journal", "import app.main"),
    (FLOOR, "app.main", "import dashboard.app"),
    (TRADING, "trading.desk", "import ai.ensemble"),
    (TRADING, "trading.risk.gates", "import ai.features.engine"),
    (TRADING, "trading.execution.paper", "import ai.validation.walk_forward"),
    (WINDOW, "dashboard.tabs.overview", "import app.runtime"),
    (WINDOW, "dashboard.app", "import app.service"),
    (WINDOW, "dashboard.charts.candles", "import data.market"),
    (WINDOW, "dashboard.theme", "import trading.records"),
    (WINDOW, "dashboard.theme", "import database.journal"),
    (WINDOW, "dashboard.theme", "import ai.forecast"),
    (LEAF, "app.contract.views", "import data.market"),
    (LEAF, "app.contract.facade", "import app.main"),
    (CCXT, "data.exchange.quirks", "import ccxt"),
    (CCXT, "app.main", "import ccxt.pro"),
    (CCXT, "trading.execution.live", "from ccxt.async_support import binanceusdm"),
    (QT, "app.main", "import PyQt6.QtCore"),
    (QT, "data.clock", "import qasync"),
    (QT, "trading.records", "from pyqtgraph import Point"),
    (SETTINGS, "trading.settings", "import data.timeframes"),
    (SETTINGS, "data.settings", "import numpy"),
    (SETTINGS, "ai.settings", "import pydantic_settings"),
    (SETTINGS, "database.settings", "from app.contract import views"),
]

PERMITTED = [
    ("trading.desk", "import ai.forecast"),
    ("trading.desk", "import ai.validation.overfitting"),
    ("dashboard.tabs.overview", "import app.contract.views"),
    ("dashboard.app", "import app.runtime"),
    ("data.exchange.session", "import ccxt.pro"),
    ("data.settings", "import pydantic"),
    ("dashboard.theme", "import PyQt6.QtGui"),
    ("app.contract.views", "import numpy"),
]


def test_the_real_tree_keeps_every_rule() -> None:
    code, text = lint(REPOSITORY)
    assert code == 0, text


@pytest.fixture(scope="module")
def empty_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The skeleton without a violation."""
    return skeleton(tmp_path_factory.mktemp("skeleton") / "tree")


def test_what_is_permitted_passes(empty_tree: Path, tmp_path: Path) -> None:
    tree = shutil.copytree(empty_tree, tmp_path / "tree")
    for module, line in PERMITTED:
        plant(tree, module, line)
    code, text = lint(tree)
    assert code == 0, text


@pytest.mark.parametrize(("rule", "module", "line"), VIOLATIONS)
def test_a_planted_violation_breaks_its_rule(
    empty_tree: Path, tmp_path: Path, rule: str, module: str, line: str
) -> None:
    tree = shutil.copytree(empty_tree, tmp_path / "tree")
    plant(tree, module, line)
    code, text = lint(tree)
    assert code == 1, text
    assert f"{rule} BROKEN" in " ".join(text.split()), text
    assert line.split()[1].split(".")[0] in text.split("Broken contracts")[1]


def test_a_rule_over_a_module_that_does_not_exist_is_broken(empty_tree: Path, tmp_path: Path) -> None:
    tree = shutil.copytree(empty_tree, tmp_path / "tree")
    (tree / "ai" / "settings.py").unlink()
    code, text = lint(tree)
    assert code == 1
    assert "ai.settings names no module" in text


def test_every_rule_has_a_planted_violation() -> None:
    import tomllib

    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert {contract["name"] for contract in contracts} == {rule for rule, _, _ in VIOLATIONS}
