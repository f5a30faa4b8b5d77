"""What a model holds besides its members, in words: regime, filter, meta-model, threshold, abstention."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ai.guard import GUARD_FILE, Guard
from ai.overlay import OVERLAY_FILE, Overlay
from app.contract.model_views import OverlayLine

if TYPE_CHECKING:
    from app.projection_context import Context

ON, OFF, MISSING = ("on", "ok"), ("off", "idle"), ("missing", "warn")


def overlay_lines(context: Context) -> tuple[OverlayLine, ...]:
    """Of the model that was promoted last; empty where there is none or its files are gone."""
    promoted = [row for row in context.place.database.models.all() if row.state == "promoted"]
    if not promoted:
        return ()
    newest = max(promoted, key=lambda row: row.promoted_ms or 0)
    return _lines(context.place.home.models / newest.path, newest.sha256)


@lru_cache(maxsize=8)
def _lines(folder: Path, digest: str) -> tuple[OverlayLine, ...]:
    del digest  # another model in the same place is another question
    try:
        files = {path.name: path.read_bytes() for path in folder.glob("*.json")}
        overlay, guard = Overlay.of(files), Guard.of(files)
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    made = [] if OVERLAY_FILE not in files or overlay is None else _of_overlay(overlay)
    return (*made, *([] if GUARD_FILE not in files or guard is None else _of_guard(guard)))


def _of_overlay(overlay: Overlay) -> list[OverlayLine]:
    about: Mapping[str, Any] = overlay.about
    absent: Mapping[str, str] = about.get("absent", {})
    regime = about.get("regime_scores") or {}
    meta = about.get("meta") or {}
    return [
        _line("Regime", overlay.regime is not None, absent.get("regime"), _regime_words(regime)),
        _line("Regime filter", overlay.regime_filter is not None, absent.get("regime_filter"),
              "" if overlay.regime_filter is None else f"{overlay.regime_filter.why[:1].upper()}"
              f"{overlay.regime_filter.why[1:]}."),
        _line("Meta-model", overlay.meta is not None, absent.get("meta_model"), _meta_words(meta)),
        OverlayLine("Threshold", *(ON if overlay.adaptive else OFF),
                    f"Rises to the break-even probability of the moment at costs of {overlay.cost:.2%} a round trip."
                    if overlay.adaptive else "The strategy's own, whatever volatility does."),
    ]  # fmt: skip


def _of_guard(guard: Guard) -> list[OverlayLine]:
    held = guard.held
    asked = f"{guard.conformal_coverage:.0%}"
    sets = f" Sets of {asked} coverage must not hold both sides." if guard.conformal_coverage else ""
    return [
        OverlayLine("Abstention", *ON, f"Members at most {guard.max_disagreement:.2f} apart, at most "
                    f"{guard.max_outside_share:.0%} of the features outside their training.{sets}"),
        OverlayLine("Size", *(ON if guard.shrink_when_worse else OFF),
                    f"Held-back log loss {held.log_loss:.4f} on {held.labels:,} labels (about {held.effective:,.0f} "
                    "independent ones); positions shrink while live forecasts are worse beyond error."),
    ]  # fmt: skip


def _line(part: str, there: bool, why: str | None, words: str) -> OverlayLine:
    if there:
        return OverlayLine(part, *ON, words)
    if why:
        return OverlayLine(part, *MISSING, f"{why[:1].upper()}{why[1:]}.".replace("..", "."))
    return OverlayLine(part, *OFF, "Not asked for in the settings.")


def _regime_words(scores: Mapping[str, Any]) -> str:
    if not scores:
        return "Seven states, four bars ahead; too few bars were held back to score it."
    return (
        f"Right in {scores['accuracy']:.0%} of held-back bars, staying as it is in "
        f"{scores['persistence_accuracy']:.0%}; calibration error {scores['calibration_error']:.1%}. "
        "A coin's market is told as well: it describes, it does not foresee."
    )


def _meta_words(scores: Mapping[str, Any]) -> str:
    if "taken_share" not in scores:
        return "Takes a trade when it is likelier than not to pay for its costs."
    parts = {"taken ones": scores.get("taken"), "skipped ones": scores.get("skipped")}
    made = [f"{name} made {each[0]:+.3%} ± {each[1]:.3%} a trade" for name, each in parts.items() if each]
    paid = " and ".join(made) if made else "too few to say what they made"
    return f"Takes {scores['taken_share']:.0%} of the newest {scores['held_back']:,} held-back proposals; {paid}."
