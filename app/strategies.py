"""The declared strategies, for the commands."""

from __future__ import annotations

from typing import Any

from trading.strategy.library import LIBRARY, load_strategy
from trading.strategy.spec import StrategySpec

Document = dict[str, Any]


def library() -> Document:
    """Every strategy of the library with its meaning."""
    return {"strategies": [{"name": s.name, "kind": s.kind, "sentence": s.meaning} for s in LIBRARY.values()]}


def shown(name: str) -> Document:
    """One strategy, whole.

    Raises:
        UserError: no such strategy.
    """
    return _document(load_strategy(name))


def checked(path: str) -> Document:
    """A strategy file, whole, after every feature it names was found in the registry.

    Raises:
        UserError: the file cannot be read, breaks the grammar, or names an unknown feature.
    """
    from pathlib import Path

    from ai.features.registry import schema_of
    from data.errors import UserError

    if Path(path).suffix not in (".toml", ".json"):
        raise UserError(f"'{path}' is no strategy file: its name ends with .toml or .json.")
    spec = load_strategy(path)
    schema_of(spec.features())
    return _document(spec)


def _document(spec: StrategySpec) -> Document:
    return {"strategy": spec.name, **spec.model_dump(mode="json", exclude_none=True), "features": list(spec.features())}
