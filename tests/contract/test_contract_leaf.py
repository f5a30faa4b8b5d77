"""The contract is a leaf: frozen values, no project module."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
from pathlib import Path
from typing import get_args

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "app" / "contract"
MODULES = ("views", "results", "queries", "commands", "events", "forms")
FLOORS = {"ai", "data", "trading", "database", "dashboard"}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda p: p.name)
def test_no_project_module_is_imported(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            assert name.split(".")[0] not in FLOORS
            assert not name.startswith("app.") or name.startswith("app.contract")


@pytest.mark.parametrize("name", MODULES)
def test_every_value_is_frozen_and_slotted(name: str) -> None:
    module = importlib.import_module(f"app.contract.{name}")
    classes = [c for _, c in inspect.getmembers(module, inspect.isclass) if c.__module__ == module.__name__]
    assert classes
    for cls in classes:
        assert dataclasses.is_dataclass(cls), cls
        assert cls.__dataclass_params__.frozen, cls
        assert "__slots__" in vars(cls), cls
        assert cls.__doc__ and not cls.__doc__.startswith(cls.__name__ + "("), f"{cls} has no docstring"


@pytest.mark.parametrize(("name", "union"), [("queries", "Query"), ("commands", "Command"), ("events", "Event")])
def test_the_union_names_every_value_of_its_module(name: str, union: str) -> None:
    module = importlib.import_module(f"app.contract.{name}")
    classes = {c for _, c in inspect.getmembers(module, inspect.isclass) if c.__module__ == module.__name__}
    classes.discard(getattr(module, "Outcome", None))
    assert set(get_args(getattr(module, union))) == classes
