"""The verdicts of an audit: what was measured, put into words by `texture_store.evaluation.findings`."""

from typing import TYPE_CHECKING, Any, Literal

from jobs.audit_scores import TOGETHER, WITH_OTHERS, ScoredColumns
from jobs.audited import Audited
from jobs.metadata_fields import MetadataFields
from texture_store.evaluation import findings
from texture_store.evaluation.findings import FieldScore, Finding
from texture_store.evaluation.scores import majority_score

if TYPE_CHECKING:
    from jobs.audit_pictures import Duplicates

_SETS: dict[Literal["together", "everything"], str] = {"together": TOGETHER, "everything": WITH_OTHERS}


def label_findings(
    audited: Audited, fields: MetadataFields, labels: Any, groups: Any, scored: ScoredColumns
) -> list[Finding]:
    """About classes and groups of the labelled images."""
    lost = findings.unlabelled(int((~audited.labelled).sum()), len(audited.labelled))
    found = [findings.balance(labels, majority_score(labels)), *([lost] if lost else [])]
    if audited.group_column:
        found += findings.single_class_groups(labels, groups, audited.group_column)
    else:
        found.append(findings.without_groups())
    if scored.no_groups is not None:
        found.append(Finding("by group", "warning", 0, f"A score by group is not possible: {scored.no_groups}."))
    said = {finding.code for finding in found}
    return found + [one for one in findings.proposed_groups(fields.groups, labels) if one.code not in said]


def metadata_findings(fields: MetadataFields, labels: Any, scored: ScoredColumns) -> list[Finding]:
    """About what metadata predict without a look at a pixel."""
    found = [findings.scales(fields.um_per_px)]
    if scored.by_chance is None:
        return [*found, Finding("metadata", "note", 0, "Nothing is known about the images but their labels.")]
    majority = majority_score(labels)
    floors = {protocol: max(majority, score) for protocol, score in scored.by_chance.f1_weighted.items()}
    rated = [
        findings.metadata_alone(FieldScore(name, field.kind, scored.by_name[name].f1_weighted), floors)
        for name, field in fields.fields.items()
    ]
    alone = sorted(filter(None, rated), key=lambda finding: -finding.number)
    together = [
        findings.metadata_alone(FieldScore("", kind, scored.by_name[name].f1_weighted), floors)
        for kind, name in _SETS.items()
        if name in scored.by_name
    ]
    alone += filter(None, together)
    if not alone:
        best = max(max(scores.f1_weighted.values()) for scores in scored.by_name.values())
        return [*found, findings.no_metadata_predicts(list(fields.fields), best)]
    return [*found, *alone]


def duplicate_findings(audited: Audited, duplicates: "Duplicates | None") -> list[Finding]:
    """About images that are there twice."""
    if duplicates is None:
        return [Finding("duplicates", "note", 0, "Duplicates are looked for once a store has the images' features.")]
    found = [
        findings.duplicates("bytes", duplicates.files, audited.labels, audited.groups),
        findings.duplicates("pixels", duplicates.pixels, audited.labels, audited.groups),
    ]
    if duplicates.near is None:
        return [*found, Finding("near duplicates", "note", 0, "Near duplicates were not looked for.")]
    found.append(findings.duplicates("near", duplicates.near_sets, audited.labels, audited.groups))
    if duplicates.unread:
        text = f"{duplicates.unread:,} images could not be read again; run index and featurize."
        found.append(Finding("unread images", "warning", duplicates.unread, text))
    return found
