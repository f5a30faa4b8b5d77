"""The program itself for the window: settings, log, audit."""

from __future__ import annotations

import json
from typing import Any

from app.contract.queries import AuditQuery, LogsQuery, SettingsQuery
from app.contract.results import AuditRow, AuditView, LogRow, LogsView, SettingRow, SettingsView
from app.projection_context import Context
from app.wiring import load_settings

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
GROUPS = {
    "run": "Run", "data": "Market data", "ai": "Models", "trading.costs": "Costs", "trading.limits": "Limits",
    "trading.sizing": "Sizing", "trading.paper": "Paper account", "storage": "Storage",
}  # fmt: skip
KINDS = {"number": "number", "switch": "switch", "choice": "choice", "text": "text", "list": "text"}
LABELS = {
    "enable_training": "Train while running", "model_retrain_every_n_steps": "Retrain every",
    "history_limit": "History of a training", "base_url": "Other address", "seed": "Seed of training",
    "profile_short": "Exits on short bars", "profile_long": "Exits on long bars", "max_leverage": "Highest leverage",
    "exchange_leverage": "Highest leverage, exchange", "cache_mib": "Page cache", "log_rows": "Log rows kept",
}  # fmt: skip
UNIT_ENDS = (" s", " ms", " mib")  # a label does not repeat the unit that stands beside the field
LIVE_GROUPS = ("ai.",)  # a running service reads everything else when it starts


def settings(_query: SettingsQuery, context: Context) -> SettingsView:
    """Every setting, as it is stored now."""
    place = context.place
    rows = load_settings(place.home, place.database).describe()
    return SettingsView(tuple(_setting(row) for row in rows), str(place.home.path))


def _setting(row: dict[str, Any]) -> SettingRow:
    key = str(row["key"])
    locked = "Set in the environment, which goes before what is stored here." if row["origin"] == "environment" else ""
    return SettingRow(
        key=key, label=setting_label(key), group=GROUPS.get(key.rpartition(".")[0], key.partition(".")[0]),
        value=_typed(row["value"]), default=_typed(row["default"]), unit=str(row["unit"]),
        sentence=setting_sentence(str(row["sentence"])), kind=KINDS[str(row["kind"])], minimum=_typed(row["min"]),
        maximum=_typed(row["max"]), choices=tuple(row["choices"]) if row["kind"] == "choice" else (),
        needs_restart=not key.startswith(LIVE_GROUPS), locked=locked,
    )  # fmt: skip


def setting_label(key: str) -> str:
    """``Request timeout`` of ``data.request_timeout_s``."""
    name = key.rpartition(".")[2]
    words = name.replace("_", " ")
    for end in UNIT_ENDS:
        words = words.removesuffix(end)
    return LABELS.get(name, words[:1].upper() + words[1:])


def setting_sentence(sentence: str) -> str:
    """The meaning alone: which values it takes stands beside the field."""
    meaning, found, _ = sentence.rpartition("; it takes ")
    return f"{meaning}." if found else sentence


def _typed(value: object) -> str:
    """A value as a person types it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def logs(query: LogsQuery, context: Context) -> LogsView:
    """Log rows of a level and above, newest first."""
    level = LEVELS.get(query.level, 20)
    found = context.place.database.logs.newest(query.limit, level=level, text=query.text or None)
    counted = context.place.database.one(
        "SELECT count(*) FROM logs WHERE level >= ? AND (? = '' OR instr(lower(message), lower(?)) > 0)",
        (level, query.text, query.text),
    )
    names = {number: name for name, number in LEVELS.items()}
    rows = tuple(
        LogRow(
            r.at_ms, names.get(r.level, "error" if r.level > 40 else "info"), r.source, r.message,
            str(r.fields.get("trace", "")) or (json.dumps(dict(r.fields), default=str) if r.fields else ""),
        )
        for r in found
    )  # fmt: skip
    return LogsView(rows, int(counted[0]) if counted else 0)


def audit(query: AuditQuery, context: Context) -> AuditView:
    """The chain, newest first, with the last verification's verdict."""
    chain = context.place.database.audit
    head, report = chain.head(), context.audit
    rows = tuple(
        AuditRow(e.seq, e.at_ms, e.kind.replace("_", " "), words(e.kind, json.loads(e.body)), e.hash)
        for e in chain.entries(limit=query.limit)
    )
    return AuditView(
        rows, head.seq, head.hash, report.ok if report else None, context.audit_ms, report.first_bad if report else None
    )


def words(kind: str, body: dict[str, Any]) -> str:
    """One entry in words."""
    if kind == "settings":
        after, before = body.get("after", {}), body.get("before", {})
        if not after:
            return f"{', '.join(before)} back to the default"
        return "; ".join(f"{key} set to {value}" for key, value in after.items())
    if kind == "batch":
        counts = {name: n for name, n in body.get("counts", {}).items() if n}
        return ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items()) or "a checkpoint"
    shown = {key: value for key, value in body.items() if isinstance(value, str | int | float)}
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in list(shown.items())[:5])
