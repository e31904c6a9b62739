"""A report with every part, of values that a test chooses; its text may be hostile."""

import numpy as np
import pandas as pd

from tests.evaluation_rows import evaluation_row, evaluation_table
from texture_store.evaluation.claims import Claim
from texture_store.evaluation.findings import Finding
from texture_store.report.explanation_plots import bars_plot, map_plot
from texture_store.report.report_content import (
    Absent,
    Audit,
    Cell,
    CharacteristicTextures,
    Claims,
    ClassSamples,
    Explanations,
    FeatureMap,
    Gallery,
    ImportantTextures,
    Misclassified,
    Neighbours,
    Picture,
    Provenance,
    Rejected,
    Report,
    Samples,
    Statement,
    Table,
    Texture,
)
from texture_store.report.report_question import Question, choose_question
from texture_store.report.report_scores import confusion_of, scores_of
from texture_store.store.evaluations import evaluations_frame

HOSTILE = (
    '</script><script>window.hurt=1</script><img src=x onerror="window.hurt=2">{{ 7*7 }}"\'&lt;b&gt;'
    "<b>bold</b>%{x}\x00\u202e"
)
"""Ends scripts, opens tags, is a template, an entity, a Plotly tag and a Plotly placeholder, and turns the writing."""


def picture(title: str, *, seed: int = 0, line: str = "24.8 µm wide") -> Picture:
    """Smooth noise of 96 x 120 px."""
    noise = np.random.default_rng(seed).normal(size=(96 + 8, 120 + 8))
    smooth = np.lib.stride_tricks.sliding_window_view(noise, (9, 9)).mean((2, 3))
    return Picture(title, np.clip(128 + 300 * smooth, 0, 255).astype(np.uint8), f"Micrograph {title}.", [line])


def frame_of(rows: list[dict[str, object]], dataset: str = "steel") -> pd.DataFrame:
    """As `Store.evaluations` gives them."""
    return evaluations_frame({dataset: evaluation_table(rows)})


def grid_rows(classes: tuple[str, ...] = ("a", "b"), *, trials: int = 4, **changes: object) -> list[dict[str, object]]:
    """Trials of two encoders at three layers and all together, under both protocols; mean conv4_3 is best."""
    rng = np.random.default_rng(0)
    level = {"input": 0.4, "conv1_2": 0.7, "conv4_3": 0.9, "all": 0.88}
    counts = np.full((len(classes), len(classes)), 1) + 12 * np.eye(len(classes), dtype=int)
    return [
        evaluation_row(
            encoder,
            layer,
            trial=trial,
            protocol=protocol,
            folds=tuple(
                level[layer] - 0.05 * (encoder == "max") - 0.1 * (protocol == "group") + rng.normal(0, 0.01, 3)
            ),
            classes=list(classes),
            confusion=counts.tolist(),
            **changes,
        )
        for encoder in ("mean", "max")
        for layer in level
        for protocol in ("image", "group")
        for trial in range(trials)
    ]


def question_of(rows: list[dict[str, object]]) -> Question:
    """Of rows that have scores."""
    question = choose_question(frame_of(rows))
    assert question is not None
    return question


def made_report(text: str = "name") -> Report:
    """Every part; `text` is in every text that comes from files."""
    question = question_of(grid_rows((f"{text} a", f"{text} b")))
    texture = Texture(
        f"conv4_3 filter 211 {text}",
        picture(f"texture {text}"),
        {"impurity importance": "0.031 ± 0.004", f"permutation {text}": "0.012 ± 0.002"},
        {f"{text} a": 559.2, f"{text} b": 33.1},
        [picture(f"exemplar {number} {text}", seed=number) for number in range(3)],
    )
    rng = np.random.default_rng(0)
    points, paths = rng.normal(size=(40, 2)), [f"{text}/{number}.tif" for number in range(40)]
    small = [rng.integers(0, 256, (48, 48), dtype=np.uint8) if number % 5 else None for number in range(40)]
    labels = [[f"{text} a", f"{text} b", None][number % 3] for number in range(40)]
    explanations = Explanations(
        important=ImportantTextures(
            f"Of the five layers together. {text}",
            [texture, texture],
            bars_plot(
                [f"conv4_3 {n} {text}" for n in range(6)],
                {f"impurity {text}": ([0.1] * 6, [0.01] * 6)},
                title="x",
                axis="importance",
            ),
        ),
        characteristic=CharacteristicTextures(
            f"Between classes. {text}", {f"{text} a": [texture], f"{text} b": [texture]}
        ),
        heat_maps=Gallery(f"Of one filter. {text}", [picture(f"heat {text}", seed=5)]),
        feature_map=FeatureMap(
            f"PCA of mean conv4_3. {text}",
            [
                map_plot(points, paths, labels, title=f"By label {text}", value_name="label", thumbnails=small),
                map_plot(points, paths, rng.normal(size=40), title=f"By {text}", value_name=f"{text}"),
            ],
        ),
        neighbours=Neighbours(
            f"By cosine. {text}", [(picture(f"asked {text}"), [picture(f"near {text}", seed=n) for n in range(4)])]
        ),
        atypical=Gallery(f"Farthest from their class. {text}", [picture(f"odd {text}", seed=9)]),
    )
    mistakes = Table(
        "Misclassified",
        ["path", "wrong in"],
        [[Cell(text), Cell("50 %", 0.5)], [Cell("b"), Cell("100 %", 1.0)]],
        frozenset({1}),
    )
    return Report(
        dataset="steel",
        state=f"Snapshot 1. {text}",
        summary=[Statement("problem", f"From {text} alone."), Statement("fine", "All is well.")],
        samples=Samples(
            [ClassSamples(f"{text} a", 12, [picture(f"{text}.tif"), Picture(text, None, "", [text])])], text
        ),
        scores=scores_of(question, current_snapshot=1),
        claims=[Claims("image", [Claim("steel", f"max is the worst {text}", "not held", f"max - mean {text}")])],
        confusion=confusion_of(question),
        misclassified=Misclassified(f"Of 30 images. {text}", [picture(f"wrong {text}", seed=3)], mistakes),
        audit=Audit([Finding(f"code {text}", "warning", 0.5, f"Half {text}.")], f"From the store. {text}"),
        rejected=Rejected(
            Table("By reason", ["reason", "images"], [[Cell(text), Cell("3", 3)]], frozenset({1})),
            Table("Each", ["path"], [[Cell(text)]]),
        ),
        provenance=Provenance({f"Dataset {text}": {f"archive {text}": text}}),
        explanations=explanations,
    )


def bare_report() -> Report:
    """Nothing but reasons."""
    gone = Absent("There are no scores yet: run evaluate.")
    return Report("steel", "Snapshot 1.", [], gone, gone, gone, gone, gone, gone, gone, Provenance({}), gone)
