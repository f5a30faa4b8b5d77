"""The exchanges that can be asked, by ccxt's name; the file of each is loaded when it is first wanted."""

from __future__ import annotations

import importlib
from typing import cast

from data.errors import UserError
from data.exchange.quirks import Quirks

CLASSES = {"binanceusdm": "BinanceUsdm", "bybit": "Bybit", "okx": "Okx", "weex": "Weex"}


def quirks_of(name: str) -> Quirks:
    """What is peculiar to the exchange ``name``.

    Raises:
        UserError: there is no such exchange here.
    """
    if name not in CLASSES:
        raise UserError(f"The exchange '{name}' is not supported: use one of {', '.join(CLASSES)}.")
    module = importlib.import_module(f"data.exchange.{name}")
    return cast(Quirks, getattr(module, CLASSES[name])())
