"""The declared strategies, for the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.settings import change
from app.wiring import strategy_for
from data.errors import UserError
from trading.strategy.library import LIBRARY, SUFFIXES
from trading.strategy.spec import StrategySpec

if TYPE_CHECKING:
    from database.repositories import Repositories

Document = dict[str, Any]


def library() -> Document:
    """Every strategy of the library with its meaning and where it was published."""
    return {
        "strategies": [
            {"name": s.name, "kind": s.kind, "sentence": s.meaning, "source": s.source} for s in LIBRARY.values()
        ]
    }


def shown(name: str) -> Document:
    """One strategy, whole.

    Raises:
        UserError: no such strategy.
    """
    return _document(strategy_for(name))


def checked(path: str) -> Document:
    """A strategy file, whole, after every feature it names was found in the registry.

    Raises:
        UserError: the file cannot be read, breaks the grammar, or names an unknown feature.
    """
    if Path(path).suffix not in SUFFIXES:
        raise UserError(f"'{path}' is no strategy file: its name ends with .toml or .json.")
    return _document(strategy_for(path))


def applied(database: Repositories, folder: Path, name: str) -> Document:
    """Make a strategy the one that ``run`` trades from its next start on, where nothing else is said.

    Raises:
        UserError: no such strategy, or the file is refused.
    """
    spec = strategy_for(name)
    stored = spec.name if name in LIBRARY else str(Path(name).expanduser().absolute())
    return {**_document(spec), "setting": change(database, folder, "run.strategy", stored)}


def schema() -> Document:
    """The JSON schema (draft 2020-12) of a strategy document."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **StrategySpec.model_json_schema()}


def copied(name: str, path: str) -> Document:
    """Write a strategy as a JSON document that can be changed and loaded again.

    Raises:
        UserError: no such strategy, or the file exists, is no ``.json`` or cannot be written.
    """
    target = Path(path).expanduser()
    if target.suffix != ".json":
        raise UserError(f"'{path}': a copy is JSON: give a name that ends with .json.")
    spec = strategy_for(name)
    text = json.dumps(spec.model_dump(mode="json", exclude_none=True), indent=2)
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text + "\n")
    except FileExistsError:
        raise UserError(f"{target}: the file exists already: choose another name.") from None
    except OSError as error:
        raise UserError(f"{target}: the strategy cannot be written ({error.strerror}).") from None
    return {"strategy": spec.name, "file": str(target)}


def _document(spec: StrategySpec) -> Document:
    own = [part.sentences() for part in (spec.entry, spec.management) if part is not None]
    return {
        "strategy": spec.name, **spec.model_dump(mode="json", exclude_none=True), "features": list(spec.features()),
        "handling": [sentence for sentences in own for sentence in sentences]
        or ["Entry order and management are those of the settings."],
    }  # fmt: skip
