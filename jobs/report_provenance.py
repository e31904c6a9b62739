"""Where what a report shows is from."""

from collections.abc import Sequence
from typing import Any

from jobs.report_images import ALL_LAYERS
from texture_store.report.report_content import Provenance
from texture_store.report.report_question import Question
from texture_store.store.catalog import Catalog
from texture_store.store.choice import chosen_pairs


def provenance_of(catalog: Catalog, question: Question | None) -> Provenance:
    """The snapshot, each spec that is shown or chosen, and the evaluation."""
    snapshot = catalog.snapshot
    groups = {
        "Dataset": {
            "dataset": snapshot.dataset,
            "store": catalog.storage.url,
            "archive": snapshot.archive_url,
            "snapshot": f"{snapshot.number}, of {when(snapshot.created)}",
            "images": f"{len(snapshot):,}",
            "labels from": snapshot.labels_source or "no labels file",
        }
    }
    for fingerprint in shown_specs(catalog, question):
        groups[f"Features, spec {fingerprint}"] = _spec(catalog, fingerprint)
    if question is not None:
        groups["Evaluation"] = _evaluation(question)
    return Provenance(groups)


def shown_specs(catalog: Catalog, question: Question | None) -> list[str]:
    """Those of the scores that the catalog knows, else those that are chosen."""
    known = catalog.fingerprints()
    named = [] if question is None else [one for spec in question.rows["spec"].unique() for one in spec.split("+")]
    found = [spec for spec in dict.fromkeys(named) if spec in known]
    return found or sorted({choice.spec.fingerprint for choice in chosen_pairs(catalog).values()}) or known


def newest_entry(catalog: Catalog, question: Question | None) -> str:
    """When the newest of the snapshot, the commits and the scores was made (ISO 8601, UTC)."""
    times = [catalog.snapshot.created]
    times += [record.created for spec in catalog.fingerprints() for record in catalog.commits(spec)]
    times += [] if question is None else question.rows["created"].tolist()
    return max(times)


def when(iso: str) -> str:
    """Such as `2026-01-31 12:00 UTC`."""
    return f"{iso[:16].replace('T', ' ')} UTC" if iso else "unknown"


def _spec(catalog: Catalog, fingerprint: str) -> dict[str, str]:
    spec, commits = catalog.spec(fingerprint), catalog.commits(fingerprint)
    pairs: dict[str, list[str]] = {}
    for encoder, layer in catalog.pairs(fingerprint):
        pairs.setdefault(encoder, []).append(layer)
    facts = {
        "settings": spec.describe(),
        "weights": f"{spec.weights} ({spec.lineage})",
        "feature sets": "; ".join(f"{encoder}: {', '.join(layers)}" for encoder, layers in pairs.items()) or "none",
        "made": _span([record.created for record in commits]),
    }
    facts["computed with"] = _environments([record.environment for record in commits])
    return facts | {"whole spec": spec.canonical_json}


def _evaluation(question: Question) -> dict[str, str]:
    rows, first = question.rows, question.own.iloc[0]
    return {
        "predicted": f"{first['label_column']} ({first['task']})",
        "images": f"{first['num_images']:,}, hash {first['members']}, of snapshot {first['snapshot']}",
        "classifiers": ", ".join(sorted(rows["classifier"].unique())),
        "folds": f"{first['folds']}, seeds of the trials are stored with them",
        "feature sets": f"{len(rows.drop_duplicates(['encoder', 'layer']))}, in {len(rows):,} trials",
        "all five layers": "evaluated" if (rows["layer"] == ALL_LAYERS).any() else "not evaluated",
        "made": _span(rows["created"].tolist()),
        "computing": f"{rows['seconds'].sum() / 3600:.2f} h of one process",
        "computed with": _environments([dict(one) for one in rows["versions"]]),
    }


def _environments(found: Sequence[dict[str, Any]]) -> str:
    """Each name with all the values that occur: processor, threads, libraries."""
    values: dict[str, list[str]] = {}
    for one in found:
        for key, value in one.items():
            if str(value) not in values.setdefault(key, []):
                values[key].append(str(value))
    told = (f"{key.replace('_', ' ')} {' and '.join(several)}" for key, several in sorted(values.items()))
    return ", ".join(told) or "not recorded"


def _span(times: Sequence[str]) -> str:
    if not times:
        return "never"
    first, last = when(min(times)), when(max(times))
    return first if first == last else f"{first} to {last}"
