"""The page that a run of reevaluate ends with, for a terminal, a log or a mail."""

from collections.abc import Sequence
from typing import Any

from jobs.options import EXIT_REGRESSION, EXIT_TOO_MANY_REJECTED, printable
from jobs.progress import duration
from jobs.reevaluate_record import Reevaluation
from jobs.table_text import aligned

MAX_SCORES = 24
"""Lines of scores; all are in --json and in the report."""
_ORDER = ("regression", "failed", "undecided", "slightly worse", "better", "first", "unchanged")
_RESULTS = {
    0: "done",
    1: "failed: see what needs you, then run the same command again",
    EXIT_TOO_MANY_REJECTED: "done, with more images rejected than max_rejected allows",
    EXIT_REGRESSION: "done, with a regression",
}


def page(found: Reevaluation, *, confidence: float, score_name: str) -> str:
    """Some thirty lines: what changed, what was computed, what it did to the scores, what needs a person."""
    parts = [f"{found.dataset}: snapshot {found.snapshot} of {found.archive['archive']}, by recipe {found.recipe}", ""]
    if found.nothing_new:
        parts.append(f"nothing new since the run of {found.began[:16].replace('T', ' ')} UTC, and nothing was computed")
    parts += _named("archive", [_archive(found.archive)])
    if not found.nothing_new:
        parts += _named("computed", _computed(found.computed))
        parts += ["", *_scores(found.scores, confidence, score_name), ""]
    parts += _named("needs you", found.needs or ["nothing"])
    parts += _named("report", [found.report])
    took = sum(found.seconds.values())
    steps = ", ".join(f"{name} {duration(seconds)}" for name, seconds in found.seconds.items() if seconds >= 1)
    parts += _named("took", [duration(took) + (f" ({steps})" if steps else "")])
    parts += _named("result", [_result(found)])
    return "\n".join(printable(line) if line else line for line in parts)


def _result(found: Reevaluation) -> str:
    if not found.status:
        return _RESULTS[0]
    as_before = ", as before" if found.nothing_new else ""
    return f"{_RESULTS[found.status]}{as_before} (status {found.status})"


def _archive(archive: dict[str, Any]) -> str:
    names = ("new", "changed", "gone", "relabelled", "moved")
    counts = [f"{archive[name]:,} {name}" for name in names if archive[name] or name in names[:3]]
    return f"{archive['images']:,} images: {', '.join(counts)}"


def _computed(computed: dict[str, Any]) -> list[str]:
    text = f"{computed['featurized']:,} images featurized, {computed['rejected']:,} rejected in all"
    if "encoded" in computed:
        text += f"; {computed['encoded']:,} encoded"
    lines = [f"{text}; {computed['trials']:,} trials"]
    if "dictionary" in computed:
        lines.append(f"dictionary {computed['dictionary']}")
    lines += [f"  {layer}: {words} moved" for layer, words in computed.get("moved_words", {}).items()]
    return lines


def _scores(scores: Sequence[dict[str, Any]], confidence: float, score_name: str) -> list[str]:
    compared = [one for one in scores if "before" in one]
    about = f"{score_name}, mean over folds"
    for snapshot in sorted({one["snapshot_before"] for one in compared}):
        own = next(one for one in compared if one["snapshot_before"] == snapshot)
        about += f"; before: snapshot {snapshot}, {own['images_before']:,} images, now {own['images_now']:,}"
    if compared:
        about += f"; {confidence:.0%} interval of each difference"
    ranked = sorted(scores, key=_place)
    shown = ranked[:MAX_SCORES]
    rows = [_row(one) for one in shown]
    header = ["encoder", "layer", "folds by", "before", "now", "difference", "interval", "verdict"]
    if not compared:
        header, rows = [*header[:3], "now", "verdict"], [[*row[:3], row[4], row[7]] for row in rows]
    lines = [about, *aligned([header, *rows])]
    if len(ranked) > len(shown):
        rest = [one["verdict"] for one in ranked[MAX_SCORES:]]
        counts = ", ".join(f"{rest.count(name)} {name}" for name in _ORDER if name in rest)
        lines.append(f"{len(rest)} more: {counts} (--json and the report have all)")
    return lines


def _place(one: dict[str, Any]) -> tuple[int, float, float]:
    """What needs a look comes first, the greatest fall before others; of the rest the best score."""
    return _ORDER.index(one["verdict"]), one.get("difference", 0.0), -(one["now"] or 0.0)


def _row(one: dict[str, Any]) -> list[str]:
    row = [one["encoder"], one["layer"], one["protocol"]]
    if "before" not in one:
        return [*row, "-", _number(one["now"]), "-", "-", one["verdict"]]
    numbers = [_number(one["before"]), _number(one["now"]), f"{one['difference']:+z.3f}"]
    return [*row, *numbers, f"{one['low']:+z.3f} to {one['high']:+z.3f}", one["verdict"]]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _named(name: str, lines: Sequence[str]) -> list[str]:
    return [f"{'' if number else name:<9}  {line}" for number, line in enumerate(lines)]
