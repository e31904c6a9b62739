import numpy as np
import pytest

from texture_store.evaluation import findings
from texture_store.evaluation.findings import FieldScore


def text(*values):
    return np.array(values, dtype=object)


def labels(*values):
    return np.array(values, dtype=np.str_)


def test_balance_says_what_always_guessing_one_class_scores():
    even = findings.balance(labels("a", "a", "b"), 0.533)
    assert (even.verdict, even.number) == ("fine", pytest.approx(2 / 3))
    assert even.text == (
        "3 images in 2 classes: a 2, b 1. Always saying 'a' is right for 67% and has weighted F1 0.533."
    )
    rare = findings.balance(labels(*"a" * 20, "b"), 0.93)
    assert rare.verdict == "warning"
    assert "'b' is rare" in rare.text


FLOORS = {"image": 0.4, "group": 0.4}


@pytest.mark.parametrize(
    ("kind", "image", "group", "verdict"),
    [
        ("imaging", 0.90, 0.89, "problem"),
        ("imaging", 0.41, 0.89, "problem"),  # judged where it goes farthest
        ("imaging", 0.55, 0.50, "warning"),
        ("other", 0.90, 0.89, "warning"),
        ("picture", 0.90, 0.89, "warning"),
        ("together", 0.90, 0.89, "problem"),
        ("everything", 0.90, 0.89, "warning"),
        ("imaging", 0.45, 0.42, None),
    ],
)
def test_a_field_is_judged_by_how_far_from_guessing_it_gets(kind, image, group, verdict):
    found = findings.metadata_alone(FieldScore("um_per_px", kind, {"image": image, "group": group}), FLOORS)
    assert (None if found is None else found.verdict) == verdict
    if found is not None:
        assert found.number == max(image, group)
        assert f"{image:.3f} by image and {group:.3f} by group" in found.text


def test_the_advice_fits_the_field():
    def advice(name, kind="imaging"):
        return findings.metadata_alone(FieldScore(name, kind, {"image": 0.9}), {"image": 0.4}).text

    assert "--um-per-px" in advice("um_per_px")
    assert "databar" in advice("image_width")
    assert "originals" in advice("file_type")
    assert "one setting" in advice("detector")
    assert "standardize" in advice("contrast", "picture")
    assert "has to beat" in advice("anneal_time", "other")


def test_groups_of_one_class_are_counted():
    found = findings.single_class_groups(labels(*"aabbab"), text("1", "1", "2", "2", "3", "3"), "specimen")
    assert [(one.code, one.verdict, one.number) for one in found] == [("groups of one class", "note", 2)]
    assert "2 of 3 groups (specimen, median 2 images)" in found[0].text
    # 30 images of 10 specimens, say: no group ever mixes classes, though classes have several groups
    pure = findings.single_class_groups(labels(*"aabb"), text(*"1234"), "image")
    assert [(one.code, one.verdict) for one in pure] == [("groups of one class", "warning")]
    assert "believe the score by group" in pure[0].text


def test_images_without_a_group_are_counted_and_prove_nothing():
    found = findings.single_class_groups(labels(*"aabb"), text("1", None, "1", ""), "specimen")
    assert ("missing groups", 2) in {(one.code, one.number) for one in found}
    assert "class in one group" in {one.code for one in found}


def test_a_class_in_one_group_only_is_a_problem():
    found = findings.single_class_groups(labels(*"aabb"), text("1", "1", "1", "2"), "specimen")
    [problem] = [one for one in found if one.verdict == "problem"]
    assert (problem.code, problem.number) == ("class in one group", 1)
    assert "(a)" in problem.text


def test_a_label_that_is_the_group_supports_no_claim_about_new_pieces():
    groups = text("p", "p", "q", "q")
    assert findings.coincides(labels(*"aabb"), groups)
    assert not findings.coincides(labels(*"aabb"), text("p", "p", "q", None))
    assert not findings.coincides(labels(*"aabb"), text("p", "p", "q", "r"))
    assert not findings.coincides(labels(*"aabb"), text("p", "p", "p", "p"))
    [found] = findings.single_class_groups(labels(*"aabb"), groups, "specimen")
    assert (found.code, found.verdict, found.number) == ("label is the group", "problem", 2)
    assert "No split can support a claim about new pieces" in found.text


def test_columns_that_name_pieces_are_proposed_and_the_label_by_another_name_is_said():
    candidates = {"heat": text("1", "2", "1", None), "path: specimen": text("p", "p", "q", "q")}
    coincidence, proposal = findings.proposed_groups(candidates, labels(*"aabb"))
    assert coincidence.code == "label is the group"
    assert "path: specimen" in coincidence.text
    assert proposal.verdict == "note"
    assert "heat (2 values, 75% of images)" in proposal.text
    assert "path" not in proposal.text


def test_unknown_and_mixed_scales_are_counted():
    some = findings.scales(np.array([0.1, 0.5, np.nan]))
    assert (some.verdict, some.number) == ("warning", 1)
    assert "1 of 3 images are without um per px; the others span 0.1 to 0.5 um per px, a factor 5." in some.text
    assert findings.scales(np.array([0.1, 0.1])).verdict == "fine"
    assert findings.scales(np.full(4, np.nan)).number == 4


def test_copies_are_judged_by_what_comes_between_them():
    names, groups = text("a", "a", "b", None), text("1", "2", "1", "1")
    none = text(None, None, None, None)
    assert findings.duplicates("bytes", [], names, groups).verdict == "fine"
    within = findings.duplicates("bytes", [np.array([0, 3])], names, text(*"1111"))
    assert (within.verdict, within.number) == ("warning", 2)
    across = findings.duplicates("near", [np.array([0, 1]), np.array([2, 3])], names, groups)
    assert (across.verdict, across.number) == ("problem", 4)
    assert "1 sets are of different groups" in across.text
    wrong = findings.duplicates("pixels", [np.array([0, 2])], names, none)
    assert wrong.verdict == "problem"
    assert "labelled differently" in wrong.text
    assert "different groups" not in wrong.text


def test_a_finding_is_one_line():
    found = [
        findings.unlabelled(2, 10),
        findings.without_groups(),
        findings.no_metadata_predicts(["detector"], 0.41),
    ]
    assert findings.unlabelled(0, 10) is None
    assert all("\n" not in one.text for one in found)
