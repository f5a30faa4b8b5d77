"""Hand-made views, realistic and seeded: what the tabs are tested and looked at with. Used in tests only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from app.contract import judgement as jd
from app.contract import model_views as m
from app.contract import results as r
from app.contract import views as v

NOW = 1_753_945_204_000  # 31 Jul 2025 07:00:04 UTC
MIN, HOUR, DAY = 60_000, 3_600_000, 86_400_000
BAR = NOW // (15 * MIN) * 15 * MIN


def strip(**changes: object) -> v.StripView:
    made = v.StripView(
        mode="paper",
        state="RUNNING",
        state_why="",
        running_since_ms=NOW - 46 * DAY - 7 * HOUR,
        now_ms=NOW,
        bar_ms=BAR,
        revision=1,
        feed="binanceusdm",
        feed_state="live",
        stale_s=None,
        currency="USDT",
        equity=50_561.91,
        day_pnl=35.79,
        day_pnl_fraction=0.0007,
        open_risk=0.0034,
        open_risk_limit=0.02,
        drawdown=0.0098,
        drawdown_limit=0.05,
        positions=3,
        orders=4,
        exposure=30_211.0,
        unprotected=1,
        start_blocked="The run is going already.",
    )
    return replace(made, **changes)


def _walk(n: int, seed: int, scale: float = 1.0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).normal(0, scale, n))


def equity(n: int = 4000) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    steps = np.where(rng.random(n) < 0.08, rng.normal(0.9, 62, n), rng.normal(0, 1.5, n))
    curve = 50_000 + np.cumsum(steps)
    curve += (50_561.91 - curve[-1]) * np.linspace(0, 1, n)
    high = np.maximum.accumulate(curve)
    time = NOW - np.arange(n)[::-1].astype(np.int64) * (46 * DAY // n)
    return time, curve, high, (high - curve) / high


def position(symbol: str = "BTCUSDT", **changes: object) -> v.PositionRow:
    made = v.PositionRow(
        symbol=symbol,
        side="long",
        quantity=0.094,
        base="BTC",
        entry=118_392.8,
        last=118_653.4,
        pnl=24.62,
        pnl_r=0.74,
        stop=118_041.0,
        target=119_272.2,
        to_stop=0.0052,
        to_target=0.0052,
        to_liquidation=0.194,
        opened_ms=BAR - 16 * 15 * MIN,
        closes_ms=BAR + 8 * 15 * MIN,
        left_s=7200,
        notional=11_153.0,
        margin=0.044,
        margin_limit=0.08,
        loss_at_stop=45.56,
        leverage=5.0,
        protected=True,
        protection="Stop resting",
    )
    return replace(made, **changes)


def positions() -> tuple[v.PositionRow, ...]:
    return (
        position(),
        position(
            "ETHUSDT",
            base="ETH",
            quantity=2.03,
            entry=3858.14,
            last=3872.89,
            pnl=29.94,
            pnl_r=0.65,
            stop=3835.3,
            target=3914.3,
            to_stop=0.0097,
            to_target=0.0107,
            to_liquidation=0.192,
            left_s=9900,
            price_digits=2,
        ),
        position(
            "SOLUSDT",
            side="short",
            base="SOL",
            quantity=61.6,
            entry=180.9,
            last=180.96,
            pnl=-3.69,
            pnl_r=-0.06,
            stop=181.8,
            target=178.5,
            to_stop=0.0048,
            to_target=0.0132,
            to_liquidation=0.191,
            left_s=15_300,
            protected=False,
            protection="Stop missing · 3 s",
            price_digits=3,
            quantity_digits=1,
        ),
    )


def signal_rows(n: int = 60) -> tuple[v.SignalRow, ...]:
    rng = np.random.default_rng(3)
    symbols = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "ADAUSDT")
    made = []
    for i in range(n):
        action = ("abstain", "abstain", "blocked", "long", "short")[int(rng.integers(0, 5))]
        traded = action in ("long", "short")
        ev = float(rng.normal(0.0003, 0.0002)) if traded or action == "blocked" else -abs(float(rng.normal(0, 0.0004)))
        pnl = float(rng.normal(5, 70)) if traded and i > 4 else None
        why = {"abstain": "EV below zero after costs", "blocked": "Day: loss 2.1 % > 2 %"}.get(
            action, "All gates passed"
        )
        made.append(
            v.SignalRow(
                f"{7_000_000 + i:x}a9{i:02x}",
                NOW - i * 45 * MIN,
                symbols[int(rng.integers(0, 5))],
                action,
                ev,
                why,
                pnl,
                None if pnl is None else pnl / 60,
                traded and pnl is None,
            )
        )
    return tuple(made)


def health() -> tuple[v.HealthRow, ...]:
    return (
        v.HealthRow("Feed binanceusdm", "Live", "ok", "42 ms · 5 symbols"),
        v.HealthRow("Paper venue", "Ready", "ok", "fills at next open + impact"),
        v.HealthRow("Funding", "Late", "warn", "next 08:00 · last 9 h ago"),
        v.HealthRow("Model swing-0711", "20 d old", "warn", "retraining now"),
        v.HealthRow("Database", "Ready", "ok", "1.9 ms · 412 MB"),
        v.HealthRow("Audit chain", "Verified", "ok", "18,204 entries · 06:00"),
    )


def overview() -> v.OverviewView:
    time, curve, high, draw = equity()
    rng = np.random.default_rng(2)
    cards = (
        v.MetricCard(
            "equity",
            "Equity",
            50_561.91,
            "USDT",
            "Cash plus open result",
            change=0.0112,
            right="since 15 Jun",
            series=curve[-600:],
        ),
        v.MetricCard(
            "day_pnl",
            "Day P&L",
            35.79,
            "USDT",
            "Since 00:00 UTC, deposits left out",
            signed=True,
            change=0.0007,
            right="limit −2 %",
            series=_walk(60, 1) + 4,
            reference=0.0,
        ),
        v.MetricCard(
            "win_rate",
            "Win rate",
            0.367,
            "fraction",
            "Closed trades with a net gain",
            note="break-even 34.8 %",
            right="profit factor 1.09",
            series=0.4 + _walk(150, 9, 0.01),
        ),
        v.MetricCard(
            "trades",
            "Trades",
            147.0,
            "count",
            "Closed trades",
            suffix="closed",
            note="3 today",
            right="limit 15 a day",
            series=rng.normal(0, 50, 40),
            bars=True,
        ),
        v.MetricCard(
            "sharpe",
            "Sharpe",
            1.24,
            "ratio",
            "Daily UTC returns, √365",
            suffix="46 of 90 d",
            note="95 %: −4.3 to 6.7",
            right="gate 0.5",
            series=1 + _walk(90, 4, 0.1),
            reference=0.5,
        ),
        v.MetricCard(
            "drawdown",
            "Drawdown",
            -0.0098,
            "fraction",
            "Below the high-water mark",
            note="worst −2.31 %",
            right="limit −5 %",
            series=-draw[-900:],
        ),
    )
    return v.OverviewView(
        cards,
        time,
        curve,
        high,
        draw,
        50_000.0,
        0.05,
        "paper account",
        "USDT",
        positions(),
        0.597,
        1.0,
        0.157,
        169.77,
        signal_rows(12),
        health(),
        46.0,
        92.0,
    )


def ema(series: np.ndarray, span: int) -> np.ndarray:
    out, k = np.empty_like(series), 2 / (span + 1)
    out[0] = series[0]
    for i in range(1, series.size):
        out[i] = out[i - 1] + k * (series[i] - out[i - 1])
    out[: min(span, series.size)] = np.nan
    return out


def rsi(close: np.ndarray, n: int = 14) -> np.ndarray:
    move = np.diff(close, prepend=close[0])
    up, down = ema(np.maximum(move, 0), 2 * n - 1), ema(np.maximum(-move, 0), 2 * n - 1)
    return 100 - 100 / (1 + up / np.maximum(down, 1e-12))


def chart(n: int = 3000, with_position: bool = True) -> v.ChartView:
    rng = np.random.default_rng(11)
    vol = 0.0014 * np.exp(0.5 * np.sin(np.arange(n) / 40) + _walk(n, 8, 0.03))
    close = 118_000 * np.exp(np.cumsum(rng.normal(0, 1, n) * vol))
    close *= 118_653.4 / close[-1]
    opened = np.concatenate(([close[0]], close[:-1]))
    spread = np.abs(rng.normal(0, 0.6, (2, n))) * vol * close
    high, low = np.maximum(opened, close) + spread[0], np.minimum(opened, close) - spread[1]
    time = BAR - np.arange(n)[::-1].astype(np.int64) * 15 * MIN
    marks = []
    for k, (i, j) in enumerate(((n - 150, n - 132), (n - 118, n - 96), (n - 80, n - 60), (n - 45, n - 30))):
        if i < 0:
            continue
        side = "long" if k % 2 else "short"
        gain = (close[j] - close[i]) * (1 if side == "long" else -1) * 0.1
        marks.append(
            v.TradeMarker(
                k,
                side,
                int(time[i]),
                float(close[i]),
                int(time[j]),
                float(close[j]),
                float(gain),
                "target" if gain > 0 else "stop",
            )
        )
    held = position(entry=float(close[-16]), stop=float(close[-1] - 700), target=float(close[-1] + 900))
    return v.ChartView(
        "BTC/USDT:USDT",
        "15m",
        "binanceusdm",
        ("BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT"),
        ("15m", "1h", "4h"),
        time,
        opened,
        high,
        low,
        close,
        rng.gamma(2.0, 900, n) * (vol / vol.mean()),
        "BTC",
        1,
        {"EMA 20": ema(close, 20), "EMA 50": ema(close, 50), "EMA 200": ema(close, 200), "RSI 14": rsi(close)},
        tuple(marks),
        held if with_position else None,
    )


def gates() -> tuple[v.GateRow, ...]:
    def row(
        label: str,
        tier: str,
        value: float | None,
        limit: float | None,
        unit: str,
        passed: bool = True,
        measured: bool = True,
        **more: object,
    ) -> v.GateRow:
        return v.GateRow(
            label.lower(), label, tier, value, limit, unit, passed, measured, f"{label} within its limit.", **more
        )

    return (
        row("Margin per symbol", "Position", 0.047, 0.08, "fraction"),
        row("Leverage", "Position", 5.0, 5.0, "x", by_design=True),
        row("Stop distance", "Position", 1.5, 1.5, "ATR", by_design=True),
        row("Target, at least", "Position", 2.5, 2.5, "R", at_least=True),
        row("Loss at the stop", "Position", 0.0009, 0.02, "fraction"),
        row("Loss", "Day", 0.0, 0.02, "fraction"),
        row("Trades", "Day", 13.0, 15.0, "count"),
        row("Losses in a row", "Day", 1.0, 8.0, "count"),
        row("Drawdown", "System", 0.0093, 0.05, "fraction"),
        row("Sharpe, upper bound", "System", 6.7, 0.5, "ratio", at_least=True),
        row("Volatility, 1 h", "System", 3.4, 3.0, "x", passed=False),
        row("Symbol", "Compliance", None, None, "", text="BTCUSDT / allowed"),
        row("Exchange leverage", "Compliance", 5.0, 20.0, "x"),
        row("Spread / stop", "Market", None, 0.1, "fraction", measured=False),
    )


def signals() -> v.SignalsView:
    rows = signal_rows()
    return v.SignalsView(rows, 412, ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "ADAUSDT"))


def detail(rule: bool = False) -> v.DecisionDetail:
    c = chart(120, False)
    names = (
        ("slope_10", "Slope, 10 bars", -0.31, "‰ / bar", 0.21),
        ("rsi_14", "RSI 14", 38.4, "", 0.19),
        ("zscore_20", "Z-score 20", -1.62, "", 0.07),
        ("mom_16", "Momentum, 4 h", -0.0094, "fraction", 0.12),
        ("vol_4", "Volatility, 1 h", 0.0052, "fraction", 0.83),
        ("atr_14", "ATR 14", 0.00273, "fraction", 0.66),
        ("adx_14", "ADX 14", 24.1, "", 0.58),
        ("ema_gap", "Distance to EMA 200", -0.0121, "fraction", 0.16),
        ("volume_z", "Volume Z", 1.18, "", 0.88),
        ("funding", "Funding rate", 0.0001, "fraction", 0.61),
        ("hour_sin", "Hour, sine", -0.38, "", 0.5),
        ("range_pos", "Place in the day's range", 0.21, "fraction", 0.24),
    )
    members = (
        ()
        if rule
        else (
            v.MemberRow("Logistic", 0.30, 0.45, 0.25, 0.41),
            v.MemberRow("XGBoost", 0.35, 0.42, 0.23, 0.27),
            v.MemberRow("LightGBM", 0.37, 0.39, 0.24, 0.32),
        )
    )
    return v.DecisionDetail(
        "7f3a91c0b2d4",
        BAR - 34 * 15 * MIN,
        "BTCUSDT",
        "15m",
        "short",
        "rsi-oversold" if rule else "swing-0711",
        "Opened short: ensemble P(short) 0.33 is over the threshold 0.31, expected value +0.024 % after costs, all "
        "gates passed. Size was bound by ¼ Kelly. Price rose through the stop after 75 minutes.",
        tuple(v.FeatureValue(a, b, x, u, q, "What it means.") for a, b, x, u, q in names),
        members,
        None if rule else v.MemberRow("Ensemble", 0.33, 0.43, 0.24, 1.0),
        "short",
        None if rule else 0.31,
        gates(),
        v.PlanView(
            12,
            "short",
            117_254.8,
            117_734.8,
            116_054.8,
            0.102,
            11_968.0,
            0.237,
            5.0,
            60.96,
            0.0012,
            2.5,
            BAR - 10 * 15 * MIN,
            24,
            "swing",
            "¼ Kelly",
        ),
        ()
        if rule
        else tuple(
            jd.NamedAmount(a, b)
            for a, b in (
                ("Target", 0.0034),
                ("Stop", -0.00213),
                ("Time", 0.00006),
                ("Fees", -0.001),
                ("Spread", -0.00004),
                ("Slippage", -0.00008),
                ("Funding", 0.00003),
                ("EV", 0.00024),
            )
        ),
        v.OutcomeView(
            "Stopped out",
            "bad",
            -60.99,
            -1.24,
            0.0,
            -0.0052,
            75.0,
            int(c.time[70]),
            int(c.time[88]),
            float(c.close[70]),
            float(c.close[88]),
            c.time[50:100],
            c.open[50:100],
            c.high[50:100],
            c.low[50:100],
            c.close[50:100],
        ),
        base="BTC",
        judgement=None
        if rule
        else jd.JudgementView(
            "",
            "Range",
            (jd.NamedAmount("Range", 0.62), jd.NamedAmount("Up", 0.2)),
            0.041,
            0.022,
            ("short", "neutral"),
            0.54,
            0.8,
        ),
        paths=jd.PathsView(1000, 24, 0.46, 117_180.0, 0.31, 0.44, 114_950.0, 119_410.0),
    )


def positions_view() -> v.PositionsView:
    return v.PositionsView(positions(), 50.87, 0.597, 1.0, 0.157, 169.77)


def orders() -> v.OrdersView:
    made = []
    for i in range(24):
        p = positions()[i % 3]
        purpose, status = (("stop", "resting"), ("target", "resting"), ("entry", "filled"), ("stop", "cancelled"))[
            i % 4
        ]
        at = NOW - i * 37 * MIN
        made.append(
            v.OrderRow(
                f"q{i:04d}{purpose[0]}7f3a{i:02x}",
                i // 3,
                p.symbol,
                purpose,
                "sell" if purpose != "entry" else "buy",
                "stop_market" if purpose == "stop" else "market",
                p.quantity,
                p.stop,
                purpose != "entry",
                status,
                at - 2000,
                at,
                ((at - 2000, "planned", "plan passed every gate"), (at, status, "accepted by the venue")),
                p.price_digits,
                p.quantity_digits,
            )
        )
    return v.OrdersView(tuple(made), 388, 12)


def trades(n: int = 147) -> r.TradesView:
    rng = np.random.default_rng(21)
    made = []
    for i in range(n):
        p = positions()[int(rng.integers(0, 3))]
        reason = ("stop", "target", "time")[int(rng.choice(3, p=[0.5, 0.3, 0.2]))]
        gain = {"stop": -60.0, "target": 140.0, "time": 5.0}[reason] * float(rng.uniform(0.8, 1.2))
        side = "long" if rng.random() < 0.5 else "short"
        leave = p.entry * (1 + gain / 11_000 * (1 if side == "long" else -1))
        end = NOW - i * 7 * HOUR
        made.append(
            r.TradeRow(
                n - i,
                p.symbol,
                side,
                p.quantity,
                p.base,
                end - int(rng.integers(15, 360)) * MIN,
                p.entry,
                end,
                leave,
                reason,
                11.1,
                float(rng.normal(0, 0.3)),
                1.4,
                gain,
                gain / 60,
                abs(gain) / 11_000,
                -0.003,
                f"{i:x}ab",
                p.price_digits,
                p.quantity_digits,
            )
        )
    net = sum(t.pnl for t in made)
    return r.TradesView(tuple(made), n, net, 11.1 * n, 2.4, sum(t.pnl > 0 for t in made))


def jobs() -> r.JobsView:
    return r.JobsView(
        (
            r.JobView("j1", "Training ensemble", "BTCUSDT 15m", "fold 17 of 31", 0.54, 400, "running", True),
            r.JobView(
                "j0",
                "Leak audit",
                "",
                "",
                1.0,
                0,
                "done",
                False,
                result="Leak audit passed, 44 features",
                result_tab="models",
            ),
        )
    )


def models() -> r.ModelsView:
    rng = np.random.default_rng(4)
    folds = []
    for i in range(31):
        start = 1_672_531_200_000 + int(i * 30.44 * DAY)
        auc = float(0.507 + rng.normal(0, 0.012)) + (0.028 if i == 30 else 0)
        half = float(rng.uniform(0.022, 0.034))
        base = 1.05
        folds.append(
            r.FoldRow(
                start,
                start + int(30.44 * DAY),
                2900,
                auc,
                auc - half,
                auc + half,
                base * (1 - float(rng.normal(0.002, 0.004))),
                base,
            )
        )
    bins = tuple(
        r.ReliabilityBin(p, 0.1 + p * 0.74 + float(rng.normal(0, 0.006)), 0.1 + p * 0.74 - w, 0.1 + p * 0.74 + w, n)
        for p, w, n in (
            (0.2, 0.06, 240),
            (0.25, 0.04, 1300),
            (0.3, 0.02, 5200),
            (0.35, 0.02, 8100),
            (0.4, 0.03, 4200),
            (0.45, 0.05, 1500),
            (0.5, 0.08, 400),
            (0.55, 0.15, 60),
        )
    )
    raw = np.abs(np.array([1.2, 1.0, 1.0])[:, None] + np.stack([_walk(31, k, 0.12) for k in (1, 2, 3)]))
    share = raw / raw.sum(axis=0)
    day = 1_735_689_600_000
    rows = (
        r.ModelRow(
            "swing-0711",
            "Ensemble of 3",
            day,
            day + 180 * DAY,
            44,
            0.507,
            0.496,
            0.518,
            0.0018,
            0.012,
            0.11,
            14_200_000,
            "active",
            "Active · paper",
            "No evidence of an edge",
            "warn",
            "It is active already.",
        ),
        r.ModelRow(
            "swing-0731",
            "Ensemble of 3",
            day + 20 * DAY,
            day + 200 * DAY,
            44,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            "training",
            "Fold 17 of 31",
            "–",
            "idle",
            "It is still training.",
        ),
        r.ModelRow(
            "swing-0613",
            "Ensemble of 3",
            day - 30 * DAY,
            day + 150 * DAY,
            44,
            0.505,
            0.494,
            0.516,
            0.0011,
            0.014,
            0.09,
            14_000_000,
            "retired",
            "Retired",
            "No evidence of an edge",
            "idle",
        ),
        r.ModelRow(
            "scalp-0629",
            "Logistic",
            day + 60 * DAY,
            day + 150 * DAY,
            44,
            0.498,
            0.491,
            0.505,
            -0.0006,
            0.021,
            0.02,
            600_000,
            "rejected",
            "Rejected",
            "Worse than the base rate",
            "bad",
            "It was rejected.",
        ),
    )
    scores = (
        r.Score("Direction AUC", 0.507, "ratio", 0.496, 0.518, False, "band holds 0.5", "ROC-AUC", digits=3),
        r.Score("Log-loss against base rate", 0.0018, "fraction", -0.0001, 0.0037, False, "band holds 0", signed=True),
        r.Score("Deflated Sharpe", 0.11, "ratio", None, None, False, "want > 0.95"),
        r.Score("Overfitting probability", 0.58, "ratio", None, None, False, "want < 0.20"),
        r.Score("Calibration error", 0.012, "ratio", None, None, True, "under 0.02", digits=3),
    )
    time = np.array([f.test_from_ms for f in folds], dtype=np.int64)
    return r.ModelsView(
        "No evidence of an edge",
        "warn",
        "paper only",
        "In 31 test months this ensemble did not tell up from down better than a coin, and its return after costs is "
        "what chance gives among 48 tried configurations. Do not promote it to live.",
        scores,
        "BTCUSDT",
        "15m",
        "train 6 m · test 1 m",
        tuple(folds),
        0.496,
        0.518,
        bins,
        0.33,
        time,
        {"Logistic": share[0], "LightGBM": share[1], "XGBoost": share[2]},
        rows,
        "swing-0613",
        lines=score_lines(),
        live=(
            m.LiveLine(
                "BTC/USDT:USDT", "swing-0711", "worse: trades smaller", "warn", 1_204, 96.0, 0.981, 0.962, 0.014, 0.031,
                0.018, 0.55, 0.88, 0.9, (jd.NamedAmount("XGBoost", 0.2),), ("atr_pct", "volume_zscore_20"),
                "2 of 90 features moved", "Range", (jd.NamedAmount("Range", 0.62), jd.NamedAmount("Up", 0.2)),
            ),
        ),
        trials=(
            m.TrialLine("BTC/USDT:USDT", "15m", "sweep", 48, 2, 0, 0.06, None, BAR),
            m.TrialLine("BTC/USDT:USDT", "15m", "tuning", 120, 0, 1, None, -0.96, BAR),
        ),
        overlay=(
            m.OverlayLine("Regime", "on", "ok", "Seven states, calibration error 0.8 %."),
            m.OverlayLine("Meta-model", "off", "idle", "Not asked for."),
        ),
    )  # fmt: skip


def score_lines() -> tuple[m.ScoreLine, ...]:
    return (
        m.ScoreLine("Ensemble", "ensemble", 52_388, 0.961, 0.002, -0.001, 0.006, 0.507, 0.496, 0.518, 0.572, 0.012,
                    None, -0.041, -0.62),
        m.ScoreLine("Logistic", "member", 52_388, 0.964, -0.001, -0.004, 0.003, 0.503, 0.491, 0.515, 0.573, 0.014,
                    0.34),
        m.ScoreLine("Base rate", "baseline", 52_388, 0.963, 0.0, 0.0, 0.0, 0.5, 0.5, 0.5, 0.573, 0.01),
        m.ScoreLine("Buy and hold", "baseline", None, None, None, None, None, None, None, None, None, None, None, 0.31,
                    0.9),
    )  # fmt: skip


def performance() -> r.PerformanceView:
    time, curve, _, draw = equity()
    rng = np.random.default_rng(6)
    t = trades()
    months = tuple(r.MonthRow(2023 + i // 12, i % 12 + 1, float(rng.normal(0.003, 0.018))) for i in range(31))
    by_exit = tuple(
        r.GroupRow(k.capitalize(), len(x), sum(p > 0 for p in x), sum(x))
        for k in ("stop", "target", "time")
        if (x := [row.pnl for row in t.rows if row.exit_reason == k])
    )
    by_symbol = tuple(
        r.GroupRow(s, len(x), sum(p > 0 for p in x), sum(x))
        for s in ("BTCUSDT", "ETHUSDT", "SOLUSDT")
        if (x := [row.pnl for row in t.rows if row.symbol == s])
    )
    hours = tuple(r.GroupRow(f"{h:02d}", 6, 3, float(rng.normal(4, 60))) for h in range(24))
    scores = (
        r.Score("Sharpe", 1.24, "ratio", -4.3, 6.7, False, "band holds 0"),
        r.Score("Win rate", 0.367, "fraction", 0.29, 0.447, None, "break-even 34.8 %", digits=1),
        r.Score("Profit factor", 1.09, "ratio", 0.74, 1.52, False, "band holds 1"),
        r.Score("Net return", 0.0112, "fraction", None, None, None, "147 trades", signed=True),
        r.Score("Worst drawdown", -0.0231, "fraction", None, None, True, "limit −5 %"),
    )
    costs = tuple(
        jd.NamedAmount(a, b)
        for a, b in (("Gross", 2360.0), ("Fees", -1631.7), ("Slippage", -205.8), ("Funding", 39.4), ("Net", 561.9))
    )
    return r.PerformanceView(
        "Not told apart from chance",
        "warn",
        "After costs 147 trades made 1.12 %, and the 95 % band of the Sharpe ratio holds zero. Fees took 69 % of the "
        "gross result.",
        scores,
        time,
        curve,
        draw,
        50_000.0,
        0.05,
        months,
        by_exit,
        by_symbol,
        hours,
        costs,
        np.array([row.pnl_r for row in t.rows], dtype=np.float64),
    )


def risk() -> r.RiskView:
    rng = np.random.default_rng(8)
    blocked = tuple(
        r.BlockedRow(f"b{i:x}", NOW - i * 5 * HOUR, s, d, g, x, lim, u, 0.0002)
        for i, (s, d, g, x, lim, u) in enumerate(
            (
                ("BNBUSDT", "long", "System · volatility, 1 h", 3.2, 3.0, "x"),
                ("ETHUSDT", "long", "Day · trades", 15, 15, "count"),
                ("BTCUSDT", "short", "Day · loss", 0.021, 0.02, "fraction"),
                ("SOLUSDT", "long", "Position · margin", 0.093, 0.08, "fraction"),
                ("ADAUSDT", "long", "Day · losses in a row", 9, 8, "count"),
                ("ETHUSDT", "short", "System · drawdown", 0.051, 0.05, "fraction"),
            )
        )
    )
    return r.RiskView(
        "entries allowed",
        "ok",
        gates(),
        blocked,
        23,
        (jd.NamedAmount("BTC", 0.222), jd.NamedAmount("ETH", 0.155), jd.NamedAmount("SOL", -0.22)),
        0.157,
        0.597,
        1.0,
        rng.standard_t(4, 420) * 0.0035,
        0.02,
        0.0007,
    )


def settings() -> r.SettingsView:
    def row(
        key: str,
        name: str,
        group: str,
        value: str,
        default: str,
        unit: str,
        words: str,
        low: str = "",
        high: str = "",
        kind: str = "number",
        choices: tuple[str, ...] = (),
        restart: bool = False,
        locked: str = "",
    ) -> r.SettingRow:
        return r.SettingRow(key, name, group, value, default, unit, words, kind, low, high, choices, restart, locked)

    return r.SettingsView(
        (
            row(
                "start_equity",
                "Start equity",
                "Account",
                "50000",
                "10000",
                "USDT",
                "What a new paper account begins with.",
                "100",
                "100000000",
                restart=True,
            ),
            row(
                "taker_fee",
                "Taker fee",
                "Account",
                "0.0005",
                "0.0005",
                "fraction",
                "Share of the notional paid when an order takes liquidity.",
                "0",
                "0.01",
            ),
            row(
                "daily_loss_limit",
                "Daily loss limit",
                "Risk",
                "0.02",
                "0.02",
                "fraction",
                "At this loss since 00:00 UTC no new position is opened that day.",
                "0.001",
                "0.1",
            ),
            row(
                "max_trades_per_day",
                "Trades per day",
                "Risk",
                "12",
                "15",
                "count",
                "Filled entries of the account in one UTC day.",
                "1",
                "1000",
            ),
            row(
                "max_leverage",
                "Leverage",
                "Risk",
                "5",
                "5",
                "×",
                "Notional over margin of one position.",
                "1",
                "5",
                locked="Stop the run to change this.",
            ),
            row(
                "enable_training",
                "Training",
                "Models",
                "true",
                "true",
                "",
                "Retrain while the run goes on.",
                kind="switch",
            ),
            row(
                "model_retrain_every_n_steps",
                "Retrain every",
                "Models",
                "2000",
                "2000",
                "bars",
                "How many bars lie between two trainings.",
                "100",
                "1000000",
            ),
            row(
                "history_limit",
                "History",
                "Models",
                "20000",
                "20000",
                "bars",
                "How many bars a training reads at most.",
                "500",
                "1000000",
            ),
            row(
                "source",
                "Data source",
                "Data",
                "exchange",
                "synthetic",
                "",
                "Where candles come from.",
                kind="choice",
                choices=("exchange", "synthetic", "replay"),
                restart=True,
            ),
        ),
        "~/.local/share/quantai-trad",
    )


def logs() -> r.LogsView:
    texts = (
        ("info", "service", "Bar 07:00 decided: 5 symbols, 0 plans"),
        ("info", "venue", "Stop of BTCUSDT rests at 118,041.0"),
        ("warning", "feed", "Funding settlement is 9 h old"),
        ("info", "training", "Fold 17 of 31 scored: AUC 0.512"),
        ("error", "venue", "Stop of SOLUSDT refused: price would trigger at once"),
        ("info", "journal", "Committed 5 decisions"),
    )
    rows = tuple(r.LogRow(NOW - i * 41_000, *texts[i % len(texts)]) for i in range(60))
    return r.LogsView(rows, 18_311)


def audit() -> r.AuditView:
    kinds = (
        ("batch", "5 decisions, 1 fill, checkpoint"),
        ("state", "PAUSED → RUNNING by the window"),
        ("setting", "max_trades_per_day 15 → 12"),
        ("model", "swing-0711 takes over at 07:00"),
    )
    rows = tuple(
        r.AuditRow(18_204 - i, NOW - i * 90_000, *kinds[i % 4], f"{(i + 3) * 0x9E3779B97F4A7C15 % 2**64:016x}")
        for i in range(40)
    )
    return r.AuditView(rows, 18_204, "9e3779b97f4a7c15", True, NOW - HOUR)
