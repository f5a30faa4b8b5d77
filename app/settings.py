"""Every setting of the program: groups of the floors' own, read from four places, changed in one.

Precedence: environment ``QUANTAI_<GROUP>__<KEY>``, then the profile of a run, then changes stored in the database
(``settings set`` and the window), then ``settings.toml`` in the home folder, then the defaults.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from ai.settings import AiSettings
from app.run_settings import RunSettings
from data.errors import UserError
from data.settings import DataSettings
from database.settings import StorageSettings
from trading.settings import TradingSettings

if TYPE_CHECKING:
    from database.repositories import Repositories

PREFIX = "QUANTAI_"
SETTINGS_FILE = "settings.toml"
Nested = dict[str, Any]
_NO_UNITS = ("number", "name", "names", "yes/no", "duration", "symbols")  # what the kind of the setting says already
Origin = Literal["environment", "profile", "stored", "settings.toml", "default"]


class Settings(BaseSettings):
    """All groups. Use :func:`load`; built directly it holds the defaults and the environment's overrides."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter="__")

    run: RunSettings = RunSettings()
    data: DataSettings = DataSettings()
    ai: AiSettings = AiSettings()
    trading: TradingSettings = TradingSettings()
    storage: StorageSettings = StorageSettings()


@dataclass(frozen=True, slots=True)
class Known:
    """One setting: its dotted key and how it is declared."""

    key: str
    field: FieldInfo

    @property
    def bare(self) -> str:
        """The last part of the key."""
        return self.key.rpartition(".")[2]

    @property
    def unit(self) -> str:
        """The unit as declared, empty where there is none."""
        extra = self.field.json_schema_extra
        unit = str(extra.get("unit") or "") if isinstance(extra, dict) else ""
        return "" if unit in _NO_UNITS else unit

    def bound(self, *names: str) -> float | int | None:
        """The first of the named limits (``ge``, ``gt``, ``le``, ``lt``, ``min_length``…) that is declared."""
        for item in self.field.metadata:
            for name in names:
                value = getattr(item, name, None)
                if value is not None:
                    return value  # type: ignore[no-any-return]
        return None

    @property
    def choices(self) -> tuple[str, ...]:
        """The allowed words of a choice or of a list's parts, empty where any value goes."""
        inner = self.field.annotation
        if _origin(self.field) in (tuple, list):
            inner = get_args(inner)[0]
        return tuple(str(c) for c in get_args(inner)) if get_origin(inner) is Literal else ()

    @property
    def kind(self) -> str:
        """``switch``, ``choice``, ``number``, ``list`` or ``text``."""
        if _origin(self.field) in (tuple, list):
            return "list"
        if self.choices:
            return "choice"
        types = _types(self.field.annotation)
        if bool in types:
            return "switch"
        if int in types or float in types:
            return "number"
        return "text"

    def _shown_default(self) -> str:
        return f"'{self.field.default}'"

    @property
    def takes(self) -> str:
        """What the setting takes, in words: range and unit, choices or kind."""
        if self.kind == "list":
            of = f" of {', '.join(self.choices)}" if self.choices else ""
            return f"at least one{of or ' name'}, separated by commas"
        if self.kind == "choice":
            return f"one of {', '.join(self.choices)}"
        if self.kind == "switch":
            return "true or false"
        if self.kind == "text":
            pattern = self.bound("pattern")
            shown = next(iter(self.field.examples or ()), None) or self._shown_default()
            return f"a text as {shown}" if pattern else "a text"
        whole = "a whole number " if float not in _types(self.field.annotation) else "a number "
        return (whole + self._range()).strip() + (f" {self.unit}" if self.unit else "")

    def _range(self) -> str:
        at_least, above = self.bound("ge"), self.bound("gt")
        at_most, below = self.bound("le"), self.bound("lt")
        low = f"from {at_least:,}" if at_least is not None else f"above {above:,}" if above is not None else ""
        if at_most is not None:
            return f"{low} to {at_most:,}" if at_least is not None else f"{low} up to {at_most:,}".strip()
        return f"{low} below {below:,}".strip() if below is not None else low


def _origin(field: FieldInfo) -> Any:
    return get_origin(field.annotation)


def _types(annotation: Any) -> set[Any]:
    inner = get_args(annotation)
    if not inner:
        return {annotation}
    return set().union(*(_types(part) for part in inner))


def known(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[Known]:
    """Every setting, in order of declaration."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from known(inner, f"{prefix}{name}.")
        else:
            yield Known(prefix + name, field)


def find(key: str) -> Known:
    """The setting of a dotted key or a bare unique name.

    Raises:
        UserError: no such setting, or several groups have one of that name.
    """
    every = list(known())
    exact = [k for k in every if k.key == key]
    found = exact or [k for k in every if k.bare == key or k.key.endswith(f".{key}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"Setting '{key}' is in several groups: write {' or '.join(k.key for k in found)}.")
    raise UserError(_unknown(key))


def _unknown(key: str, where: str = "") -> str:
    names = {k.key: k.key for k in known()} | {k.bare: k.key for k in known()}
    close = difflib.get_close_matches(key, names, 1, 0.6) or difflib.get_close_matches(key.rpartition(".")[2], names, 1)
    hint = f"did you mean '{names[close[0]]}'?" if close else "'settings get' lists them all."
    return f"Unknown setting '{key}'{where}: {hint}"


def from_text(setting: Known, text: str) -> Any:
    """What a person typed, as the value to be validated: lists by commas, ``none`` for nothing."""
    plain = text.strip()
    if type(None) in _types(setting.field.annotation) and plain.lower() in ("none", "null", ""):
        return None
    if setting.kind == "list":
        if plain.startswith("["):
            try:
                return json.loads(plain)
            except ValueError:
                raise UserError(f"Setting '{setting.key}' takes {setting.takes}, not '{text}'.") from None
        return [part.strip() for part in plain.split(",") if part.strip()]
    return plain


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force and where each value comes from."""

    values: Settings
    origins: Mapping[str, Origin]

    def value(self, key: str) -> Any:
        """The value of a dotted key."""
        found: Any = self.values
        for part in key.split("."):
            found = getattr(found, part)
        return found

    def json_value(self, key: str) -> Any:
        """The value of a dotted key as plain JSON values."""
        found: Any = self.values.model_dump(mode="json")
        for part in key.split("."):
            found = found[part]
        return found

    def describe(self, key: str | None = None) -> list[dict[str, object]]:
        """Rows for people and the window: key, group, value, default, unit, min, max, choices, sentence, origin.

        Raises:
            UserError: no setting has that key, nor begins with it.
        """
        group = [k for k in known() if key is None or k.key.startswith(f"{key}.")]
        chosen = group if group or key is None else [find(key)]
        return [self._row(setting) for setting in chosen]

    def _row(self, setting: Known) -> dict[str, object]:
        return {
            "key": setting.key,
            "group": setting.key.partition(".")[0],
            "value": _shown(self.value(setting.key)),
            "default": _shown(setting.field.get_default(call_default_factory=True)),
            "unit": setting.unit,
            "min": setting.bound("ge", "gt", "min_length") if setting.kind == "number" else None,
            "max": setting.bound("le", "lt", "max_length") if setting.kind == "number" else None,
            "kind": setting.kind,
            "choices": list(setting.choices),
            "sentence": _sentence(setting),
            "origin": self.origins.get(setting.key, "default"),
        }


def _shown(value: Any) -> object:
    if isinstance(value, tuple | list):
        return ", ".join(str(v) for v in value)
    return value.value if hasattr(value, "value") else value


def _sentence(setting: Known) -> str:
    words = (setting.field.description or setting.bare.replace("_", " ")).rstrip(".")
    return f"{words}; it takes {setting.takes}."


def load(
    folder: Path | None, stored: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None,
    profile: Mapping[str, object] | None = None,
) -> Loaded:  # fmt: skip
    """Read all places. ``stored`` are persisted changes by dotted key, ``profile`` a run's bundle in the same form;
    ``environ`` defaults to the process's.

    Raises:
        UserError: an unknown key or a value out of range; the sentence names it, its range and its unit.
    """
    environment = _from_environment(os.environ if environ is None else environ)
    changes = _nested(stored or {})
    file = _from_file(folder / SETTINGS_FILE) if folder is not None else {}
    places: list[tuple[Origin, Nested]] = [
        ("environment", environment), ("profile", _nested(profile or {})), ("stored", changes), ("settings.toml", file),
    ]  # fmt: skip

    class Layered(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del init_settings, env_settings, dotenv_settings, file_secret_settings  # these places are ours
            return tuple(InitSettingsSource(settings_cls, values) for _, values in places)

    origins: dict[str, Origin] = {}
    for name, values in places:
        for key in _flat(values):
            origins.setdefault(key, name)
    try:
        return Loaded(Layered(), origins)
    except ValidationError as error:
        raise UserError(_refusal(error, origins)) from None


def _refusal(error: ValidationError, origins: Mapping[str, Origin]) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"] if not isinstance(part, int))
    whole = next((k for k in origins if k == key or k.startswith(f"{key}.")), key)  # a whole group may be unknown
    places = {"environment": " in the environment", "settings.toml": " in settings.toml"}
    where = places.get(origins.get(whole, ""), "")
    if first["type"] == "extra_forbidden":
        key = whole
        return _unknown(key, where)
    declared = {k.key: k for k in known()}
    if key not in declared:
        return f"The settings do not fit together{where}: {first['msg'].removeprefix('Value error, ').rstrip('.')}."
    takes = declared[key].takes
    own = f" ({first['msg'].removeprefix('Value error, ').rstrip('.')})" if first["type"] == "value_error" else ""
    return f"Setting '{key}'{where} cannot be {first['input']!r}: it takes {takes}{own}."


def _from_environment(environ: Mapping[str, str]) -> Nested:
    flat: dict[str, object] = {}
    declared = {k.key: k for k in known()}
    for name, text in environ.items():
        if name.upper().startswith(PREFIX) and "__" in name:
            key = name[len(PREFIX) :].lower().replace("__", ".")
            flat[key] = from_text(declared[key], text) if key in declared else text
    return _nested(flat)


def _from_file(path: Path) -> Nested:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):  # a home under a plain file: what opens the home says so
        return {}
    except (OSError, ValueError) as error:
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} cannot be read as TOML ({words}): correct that line or remove the file.") from None


def _nested(flat: Mapping[str, object]) -> Nested:
    tree: Nested = {}
    for key, value in flat.items():
        at = tree
        *groups, last = key.split(".")
        for group in groups:
            inner = at.setdefault(group, {})
            if not isinstance(inner, dict):
                raise UserError(_unknown(key))
            at = inner
        at[last] = value
    return tree


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def change(database: Repositories, folder: Path, key: str, text: str) -> dict[str, object]:
    """As :func:`change_all` of one setting; gives its row."""
    return change_all(database, folder, {key: text})[0]


def change_all(database: Repositories, folder: Path, texts: Mapping[str, str]) -> list[dict[str, object]]:
    """Check changes together against all other settings, store them (the audit says so) and give their rows.

    Raises:
        UserError: an unknown key, or a value that does not fit; nothing is stored.
    """
    wanted = {(setting := find(key)).key: from_text(setting, text) for key, text in texts.items()}
    trial = load(folder, {**database.settings.all(), **wanted}, {})
    database.settings.set({key: trial.json_value(key) for key in wanted})
    loaded = load(folder, database.settings.all())
    return [loaded.describe(key)[0] for key in wanted]


def reset(database: Repositories, folder: Path, key: str) -> dict[str, object]:
    """As :func:`reset_all` of one setting; gives its row."""
    return reset_all(database, folder, (key,))[0]


def reset_all(database: Repositories, folder: Path, keys: Sequence[str]) -> list[dict[str, object]]:
    """Forget stored changes, so that settings.toml or the defaults hold again; gives the settings' rows.

    Raises:
        UserError: an unknown key of which nothing is stored, or what is left would not fit together; nothing is
            forgotten then. Where the settings do not fit as they are, any of them may go.
    """
    stored = database.settings.all()
    gone = [key if key in stored else find(key).key for key in keys]  # one that this version no longer knows may go
    left = {key: value for key, value in stored.items() if key not in gone}
    if _fits(folder, stored):
        load(folder, left)
    for key in gone:
        database.settings.reset(key)
    declared = {k.key for k in known()}
    loaded = load(folder, left) if _fits(folder, left) else None
    blank: dict[str, object] = {"value": None, "unit": "", "origin": "default"}
    return [{"key": key, **blank} if loaded is None or key not in declared else loaded.describe(key)[0] for key in gone]


def _fits(folder: Path, stored: Mapping[str, object]) -> bool:
    try:
        load(folder, stored)
    except UserError:
        return False
    return True
