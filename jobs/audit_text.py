"""An audit as lines for people."""

from collections.abc import Iterator, Mapping
from typing import Any

_SIGNS = {"problem": "PROBLEM", "warning": "WARNING", "note": "note", "fine": "fine"}
_ORDER = tuple(_SIGNS)


def audit_text(report: Mapping[str, Any], *, shown: int) -> Iterator[str]:
    """The lines: what was looked at, the scores of metadata, the duplicates (`shown` of each kind), the verdicts."""
    yield from _head(report)
    yield ""
    yield from _scores(report)
    yield from _duplicates(report, shown)
    yield ""
    for finding in sorted(report["findings"], key=lambda finding: _ORDER.index(finding["verdict"])):
        yield f"{_SIGNS[finding['verdict']]:<8} {finding['text']}"


def _head(report: Mapping[str, Any]) -> Iterator[str]:
    dataset = f"dataset {report['dataset']}, snapshot {report['snapshot']} of " if report["dataset"] else ""
    yield f"audit of {dataset}{report['source']}"
    groups = ""
    if report["group_column"]:
        groups = f", {report['groups']:,} groups by {report['group_column']}"
    classes = f"{len(report['classes'])} classes{groups}"
    yield f"{report['images']:,} images with a label ({report['label_column']}), {classes}"
    if report["um_per_px"]["source"]:
        yield f"um per px from {report['um_per_px']['source']}"
    for name, why in report["not_used"].items():
        yield f"not a predictor: {name} ({why})"


def _scores(report: Mapping[str, Any]) -> Iterator[str]:
    protocols = ["image"] + (["group"] if _has_groups(report) else [])
    yield (
        f"weighted F1 of metadata alone: {report['classifier']}, {report['folds']} folds, mean +- sd over"
        f" {report['trials']} trials"
    )
    fields = sorted(report["fields"].items(), key=lambda item: -(item[1]["f1_weighted"]["image"] or 0))
    named = [("shuffled labels", "", report["baselines"]["shuffled"])]
    named += [(name, "", field) for name, field in fields if field["kind"] == "imaging"]
    named += [(name, "other column", field) for name, field in fields if field["kind"] == "other"]
    named += [("all of the imaging", "", report["together"])]
    named += [("all, with other columns", "", report["together_with_others"])]
    named += [(name, "of the picture itself", field) for name, field in fields if field["kind"] == "picture"]
    majority = report["baselines"]["majority"]["f1_weighted"]
    rows: list[tuple[str, list[str], str]] = [
        ("always the largest class", [_cell(majority, None)] * len(protocols), "")
    ]
    for name, note, one in named:
        if one:
            cells = [_cell(one["f1_weighted"][protocol], one["f1_weighted_sd"][protocol]) for protocol in protocols]
            rows.append((name, cells, note))
    width = max(len(name) for name, *_ in rows)
    yield "  ".join([f"  {'':<{width}}", *(f"{'by ' + protocol:<14}" for protocol in protocols)]).rstrip()
    for name, cells, note in rows:
        yield "  ".join([f"  {name:<{width}}", *cells, note]).rstrip()


def _has_groups(report: Mapping[str, Any]) -> bool:
    shuffled = report["baselines"]["shuffled"]
    return bool(shuffled and shuffled["f1_weighted"]["group"] is not None)


def _cell(mean: float | None, sd: float | None) -> str:
    if mean is None:
        return f"{'-':<14}"
    return f"{mean:.3f}{'' if sd is None else f' +- {sd:.3f}'}".ljust(14)


def _duplicates(report: Mapping[str, Any], shown: int) -> Iterator[str]:
    found = report["duplicates"]
    if found is None:
        return
    for kind, title in (("files", "identical files"), ("pixels", "identical pixels"), ("near", "the same view")):
        sets = found[kind] or []
        if not sets:
            continue
        yield ""
        yield f"{title}:"
        # Those that contradict each other come first.
        ranked = sorted(sets, key=lambda one: len({image["label"] for image in _images(one)}) == 1)
        for one in ranked[:shown]:
            told = " = ".join(_image(image) for image in _images(one))
            yield f"  {told}" + (f"  correlation {one['correlation']:.2f}" if kind == "near" else "")
        if len(sets) > shown:
            yield f"  and {len(sets) - shown:,} more (--json has all)"


def _images(one: Any) -> list[dict[str, str | None]]:
    return list(one["images"] if isinstance(one, dict) else one)


def _image(image: Mapping[str, str | None]) -> str:
    described = ", ".join(value for value in (image["label"], image["group"]) if value)
    return f"{image['path']} ({described})" if described else str(image["path"])
