"""The strategies that come with the program, and loading one from a TOML or JSON file."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from data.errors import UserError
from trading.strategy.classics import CLASSICS, ENSEMBLE_THRESHOLD
from trading.strategy.classics import RSI_OVERSOLD as _RSI_OVERSOLD
from trading.strategy.spec import StrategySpec, parse_strategy

__all__ = ["AUTO", "ENSEMBLE", "ENSEMBLE_THRESHOLD", "LIBRARY", "RSI_OVERSOLD", "load_strategy"]

MAX_BYTES = 64_000
SUFFIXES = (".toml", ".json")

LIBRARY: dict[str, StrategySpec] = {
    str(document["name"]): parse_strategy(document, str(document["name"])) for document in (_RSI_OVERSOLD, *CLASSICS)
}
RSI_OVERSOLD, ENSEMBLE, AUTO = LIBRARY["rsi-oversold"], LIBRARY["ensemble"], LIBRARY["auto"]


def load_strategy(name_or_path: str | Path) -> StrategySpec:
    """The library strategy of this name, or the one declared in a ``.toml`` or ``.json`` file.

    Raises:
        UserError: no such strategy or file, or the document is refused; names the place (line and column where the
            text is no TOML or JSON, the path in the document else) and the reason.
    """
    name = str(name_or_path)
    if name in LIBRARY:
        return LIBRARY[name]
    path = Path(name_or_path)
    if path.suffix not in SUFFIXES:
        known = ", ".join(LIBRARY)
        raise UserError(f"Unknown strategy '{name}': use one of {known}, or a .toml or .json file.")
    return parse_strategy(_read(path), str(path))


def _read(path: Path) -> object:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: the strategy cannot be read ({error.strerror}).") from None
    if len(raw) > MAX_BYTES:
        raise UserError(f"{path}: a strategy has at most {MAX_BYTES} bytes, this file has {len(raw)}.")
    try:
        text = raw.decode("utf-8-sig")
        return tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{path}: not valid {path.suffix[1:].upper()}: {error}.") from None
