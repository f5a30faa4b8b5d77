"""The settings that an account was opened under, kept with it: what decides its results, to be run again later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from app.settings import Loaded, Settings
from database.accounts import Account

SETTINGS = "settings"  # key in what an account says of its run
GROUPS = ("trading", "ai")


def kept_settings(values: Settings) -> dict[str, Any]:
    """The groups that decide results, as JSON."""
    return {group: getattr(values, group).model_dump(mode="json") for group in GROUPS}


def settings_of(account: Account, now: Loaded) -> Loaded | None:
    """The settings of ``now`` with those that the account was opened under in their place.

    ``None``: it kept none, or an older version wrote what this one does not take.
    """
    kept = account.about.get(SETTINGS)
    if not isinstance(kept, Mapping):
        return None
    try:
        groups = {name: type(getattr(now.values, name)).model_validate(kept.get(name)) for name in GROUPS}
    except ValidationError:
        return None  # the caller goes on with the settings in force and says so where they differ
    return replace(now, values=now.values.model_copy(update=groups))
