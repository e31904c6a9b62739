import pytest

from tests.evaluation_rows import evaluation_row
from tests.report.made_report import grid_rows, question_of
from texture_store.report.report_summary import how_well, what_is_here


def said(rows: list[dict[str, object]]) -> list[tuple[str, str]]:
    return [(one.verdict, one.text) for one in how_well(question_of(rows))]


def counts(**changes: int) -> dict[str, int]:
    return {"images": 30, "unlabelled": 0, "rejected": 0, "pending": 0, "featurized": 30} | changes


def test_what_is_here_is_counted() -> None:
    first, second = what_is_here([("a", 20), ("b", 10)], **counts())
    assert first.text == "30 micrographs in 2 classes: a 20, b 10."
    assert (second.verdict, second.text) == ("fine", "All have been seen by the network; none was rejected.")


def test_a_dataset_that_is_not_finished_is_a_warning() -> None:
    found = what_is_here([], **counts(featurized=20, rejected=3, pending=7))
    assert found[0].text.startswith("30 micrographs without labels")
    assert found[1].verdict == "warning"
    assert "20 have features, 3 were rejected, 7 are pending" in found[1].text
    assert what_is_here([], **counts(featurized=0, pending=30))[1].text.startswith("None has features yet")


def test_many_classes_are_not_all_named() -> None:
    text = what_is_here([(f"c{n}", 1) for n in range(14)], **counts(images=15, unlabelled=1))[0].text
    assert text.endswith("c9 1 and 4 more; 1 without a label.")


def test_the_best_set_comes_with_those_that_cannot_be_told_from_it() -> None:
    by_image, _, by_group, _, gap = said(grid_rows())
    assert by_image[1].startswith("Folds by image: best is mean conv4_3, weighted F1 0.90")
    assert "(always the largest class: 0.250)" in by_image[1]
    assert by_group[1].startswith("Folds by group: best is mean conv4_3, weighted F1 0.80")
    assert "Not distinguishable from it: mean all (1 of 7)." in by_group[1]
    assert gap == (
        "warning",
        "By group, scores are 0.098 lower on average than by image: part of the score by image is the recognition of"
        " pieces. Believe the score by group for a new piece.",
    )


@pytest.mark.parametrize(
    ("metadata", "verdict", "words"),
    [
        (
            {"um_per_px": 0.89},
            "problem",
            "This score can be had from the magnification (um_per_px) alone: 0.890 by image",
        ),
        (
            {"together": 0.95},
            "problem",
            "This score can be had from what is known of the imaging alone: 0.950 by image",
        ),
        ({"detector": 0.7}, "problem", "Most of this score can be had from detector alone"),
        ({"detector": 0.4}, "warning", "Part of this score can be had from detector alone"),
        ({"detector": 0.26}, "fine", "Metadata alone do not reach this score: the best is detector"),
        (None, "note", "there is no metadata baseline"),
    ],
)
def test_the_score_is_put_beside_what_metadata_alone_reach(
    metadata: dict[str, float] | None, verdict: str, words: str
) -> None:
    found = said([row for row in grid_rows(metadata=metadata) if row["protocol"] == "image"])[1]
    assert found[0] == verdict
    assert words in found[1]


def test_a_score_without_groups_comes_with_a_warning() -> None:
    found = said([evaluation_row(trial=trial) for trial in range(3)])
    assert found[0][1].endswith("No other feature set was evaluated on the same folds.")
    assert found[-1][0] == "warning"
    assert "There is no score by group" in found[-1][1]


def test_a_bad_score_is_not_called_reachable_by_guessing() -> None:
    rows = [row | {"f1_weighted": 0.26} for row in grid_rows(metadata={"detector": 0.26}) if row["protocol"] == "image"]
    assert said(rows)[1][0] == "fine"
