"""NautilusTrader: the crossing strategy as bracket orders with a time exit, over external one-minute bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from time import perf_counter
from typing import Any

DISTRIBUTION = "nautilus_trader"


def prepare(data: Mapping[str, Any], options: Mapping[str, Any]) -> Callable[[], dict[str, Any]]:
    """A whole engine run; loading the bars into it is not counted."""
    import pandas as pd
    from nautilus_trader.model.data import BarType  # type: ignore[import-not-found, unused-ignore]
    from nautilus_trader.persistence.wranglers import (  # type: ignore[import-not-found, unused-ignore]
        BarDataWrangler,
    )
    from nautilus_trader.test_kit.providers import (  # type: ignore[import-not-found, unused-ignore]
        TestInstrumentProvider,
    )

    count = int(len(data["close"]) * options.get("share", 1.0))
    instrument = TestInstrumentProvider.btcusdt_perp_binance()
    kind = BarType.from_str(f"{instrument.id}-1-MINUTE-LAST-EXTERNAL")
    frame = pd.DataFrame(
        {name: data[name][:count] for name in ("open", "high", "low", "close", "volume")},
        index=pd.to_datetime(data["time"][:count] + 60_000, unit="ms", utc=True),
    )
    bars = BarDataWrangler(kind, instrument).process(frame)

    def run() -> dict[str, Any]:
        engine, trader = _engine(instrument, kind, options)
        engine.add_data(bars)
        began = perf_counter()
        engine.run()
        seconds = perf_counter() - began
        engine.dispose()
        return {"seconds": seconds, "trades": trader.entries, "bars": count}

    return run


def _engine(instrument: Any, kind: Any, options: Mapping[str, Any]) -> tuple[Any, Any]:
    from nautilus_trader.backtest.config import BacktestEngineConfig  # type: ignore[import-not-found, unused-ignore]
    from nautilus_trader.backtest.engine import BacktestEngine  # type: ignore[import-not-found, unused-ignore]
    from nautilus_trader.config import LoggingConfig  # type: ignore[import-not-found, unused-ignore]
    from nautilus_trader.model.currencies import USDT  # type: ignore[import-not-found, unused-ignore]
    from nautilus_trader.model.enums import AccountType, OmsType  # type: ignore[import-not-found, unused-ignore]
    from nautilus_trader.model.objects import Money  # type: ignore[import-not-found, unused-ignore]

    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        instrument.id.venue, OmsType.NETTING, AccountType.MARGIN, [Money(options["equity"], USDT)], base_currency=None,
        default_leverage=Decimal(5),
    )  # fmt: skip
    engine.add_instrument(instrument)
    trader = _strategy(instrument, kind, options)
    engine.add_strategy(trader)
    return engine, trader


def _strategy(instrument: Any, kind: Any, options: Mapping[str, Any]) -> Any:
    from nautilus_trader.indicators import ExponentialMovingAverage  # type: ignore[import-not-found, unused-ignore]
    from nautilus_trader.model.enums import OrderSide, OrderType  # type: ignore[import-not-found, unused-ignore]
    from nautilus_trader.trading.strategy import Strategy  # type: ignore[import-not-found, unused-ignore]

    stop, limit = options["stops"][0], options["limit_bars"]
    size = instrument.make_qty(Decimal("0.5"))

    class Crossing(Strategy):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.fast, self.slow = ExponentialMovingAverage(20), ExponentialMovingAverage(100)
            self.before, self.held, self.entries = 0.0, 0, 0

        def on_start(self) -> None:
            self.register_indicator_for_bars(kind, self.fast)
            self.register_indicator_for_bars(kind, self.slow)
            self.subscribe_bars(kind)

        def on_bar(self, bar: Any) -> None:
            now, before = self.fast.value - self.slow.value, self.before
            self.before = now
            if not self.portfolio.is_flat(instrument.id):
                self.held += 1
                if self.held >= limit:
                    self.cancel_all_orders(instrument.id)
                    self.close_all_positions(instrument.id)
                return
            if not self.slow.initialized or not (before <= 0 < now or before >= 0 > now):
                return
            sign, side = (1, OrderSide.BUY) if now > 0 else (-1, OrderSide.SELL)
            price = float(bar.close)
            self.submit_order_list(
                self.order_factory.bracket(
                    instrument_id=instrument.id, order_side=side, quantity=size,
                    sl_trigger_price=instrument.make_price(price * (1 - sign * stop)),
                    tp_price=instrument.make_price(price * (1 + sign * 2 * stop)), entry_order_type=OrderType.MARKET,
                )
            )  # fmt: skip
            self.held, self.entries = 0, self.entries + 1

    return Crossing()
