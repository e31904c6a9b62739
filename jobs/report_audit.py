"""The audit of a report: what can be said without fitting anything. Metadata scores are those that evaluate stored."""

from collections.abc import Sequence

import numpy as np

from jobs.audit_pictures import exact_duplicates
from jobs.audited import audited_dataset
from texture_store.errors import TextureStoreError
from texture_store.evaluation import findings
from texture_store.evaluation.findings import FieldScore, Finding
from texture_store.evaluation.scores import majority_score
from texture_store.report.report_content import Absent, Audit
from texture_store.report.report_question import Question
from texture_store.report.report_summary import TOGETHER

_ORDER = ("problem", "warning", "note", "fine")


def quick_audit(store_url: str, dataset: str, question: Question | None) -> Audit | Absent:
    """Findings, the worst first; Absent for a dataset without labels."""
    column = None if question is None else str(question.own["label_column"].iloc[0])
    groups = [] if question is None else sorted(set(question.own["group_column"].dropna()))
    try:
        audited = audited_dataset(store_url, dataset, label_column=column, group_column=groups[0] if groups else None)
    except TextureStoreError as error:
        return Absent(f"There is no audit: {error}.")
    if not audited.labelled.any():
        return Absent("An audit needs labels: run index with --labels.")
    labels, by_group = audited.labels[audited.labelled].astype(np.str_), audited.groups[audited.labelled]
    fields = audited.fields()
    is_regression = question is not None and question.is_regression
    found: list[Finding | None] = [findings.unlabelled(int((~audited.labelled).sum()), len(audited.labelled))]
    if not is_regression:
        found.append(findings.balance(labels, majority_score(labels)))
    if audited.group_column is None:
        found.append(findings.without_groups())
    elif not is_regression:
        found += findings.single_class_groups(labels, by_group, audited.group_column)
    found += findings.proposed_groups(fields.groups, labels)
    found.append(findings.scales(fields.um_per_px))
    found += _metadata(question)
    if audited.facts is not None:
        for kind, sets in zip(("bytes", "pixels"), exact_duplicates(audited.facts), strict=True):
            found.append(
                findings.duplicates("bytes" if kind == "bytes" else "pixels", sets, audited.labels, audited.groups)
            )
    said = {one.code: one for one in found if one is not None}
    return Audit(sorted(said.values(), key=lambda one: _ORDER.index(one.verdict)), _source(question))


def _metadata(question: Question | None) -> list[Finding]:
    """What each field reaches in the stored baselines; nothing where there are none."""
    if question is None or question.is_regression:
        return []
    scores: dict[str, dict[str, float]] = {}
    floors: dict[str, float] = {}
    for protocol in question.protocols:
        rows = question.own[question.own["protocol"] == protocol]
        trials = rows[rows["metadata"].notna()].drop_duplicates("trial")["metadata"]
        floors[protocol] = float(rows["majority"].mean())
        for name in {name for one in trials for name in one}:
            scores.setdefault(name, {})[protocol] = float(np.mean([one[name] for one in trials if name in one]))
    if not scores:
        return []
    rated = [
        findings.metadata_alone(FieldScore(name, "together" if name == TOGETHER else "imaging", reached), floors)
        for name, reached in scores.items()
    ]
    alone = sorted(filter(None, rated), key=lambda finding: -finding.number)
    names: Sequence[str] = sorted(name for name in scores if name != TOGETHER)
    return alone or [findings.no_metadata_predicts(names, max(max(one.values()) for one in scores.values()))]


def _source(question: Question | None) -> str:
    baselines = (
        "What metadata alone reach is from the baselines that evaluate stored"
        if question is not None and not question.is_regression
        else "What metadata alone reach was not measured"
    )
    return (
        f"{baselines}; labels, groups, scales and identical files are from the store. For other columns, shuffled"
        " labels and near duplicates run: texture-store audit."
    )
