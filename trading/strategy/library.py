"""The strategies that come with the program, and loading one from a TOML or JSON file."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from data.errors import UserError
from trading.strategy.spec import AllOf, Comparison, StrategySpec, parse_strategy

MAX_BYTES = 64_000
ENSEMBLE_THRESHOLD = 0.30  # scalp and swing pay 2.5-3 times the stop: break-even lies near 0.28; EV > 0 decides

RSI_OVERSOLD = StrategySpec(
    name="rsi-oversold",
    meaning="Buys a dip in an uptrend: RSI(14) under 30 with the close above EMA 200; sells the mirror image.",
    long=AllOf(all=(Comparison(left="rsi_14", op="<", right=30.0), Comparison(left="close", op=">", right="ema_200"))),
    short=AllOf(all=(Comparison(left="rsi_14", op=">", right=70.0), Comparison(left="close", op="<", right="ema_200"))),
)
ENSEMBLE = StrategySpec(
    name="ensemble",
    meaning="Trades the forecast of the model ensemble: the side with the higher expected value after costs.",
    kind="ensemble",
    threshold=ENSEMBLE_THRESHOLD,
)
AUTO = RSI_OVERSOLD.model_copy(
    update={
        "name": "auto", "kind": "auto", "threshold": ENSEMBLE_THRESHOLD,
        "meaning": "Trades rsi-oversold until a promoted model covers the bar, the ensemble's forecast from then on.",
    }
)  # fmt: skip
LIBRARY: dict[str, StrategySpec] = {spec.name: spec for spec in (RSI_OVERSOLD, ENSEMBLE, AUTO)}


def load_strategy(name_or_path: str | Path) -> StrategySpec:
    """The library strategy of this name, or the one declared in a ``.toml`` or ``.json`` file.

    Raises:
        UserError: no such strategy or file, or the document breaks the grammar (place and reason are named).
    """
    name = str(name_or_path)
    if name in LIBRARY:
        return LIBRARY[name]
    path = Path(name_or_path)
    if path.suffix not in (".toml", ".json"):
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
        text = raw.decode("utf-8")
        return tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{path}: not valid {path.suffix[1:].upper()}: {error}.") from None
