import warnings

import numpy as np

from texture_store.report.evaluation_figures import figure_bytes
from texture_store.report.map_figure import map_figure

POINTS = np.random.default_rng(0).normal(size=(60, 2))


def drawn(labels: list[str | None], **changes: object) -> object:
    return map_figure(POINTS, labels, title="t", axes_names=("x", "y"), **changes)  # type: ignore[arg-type]


def test_every_class_has_its_points_and_its_own_look() -> None:
    labels = [f"class{number % 30}" for number in range(60)]
    figure = drawn(labels)
    [axes] = figure.axes  # type: ignore[attr-defined]
    looks = set()
    for collection in axes.collections:
        assert len(collection.get_offsets()) == 2
        path = collection.get_paths()[0].vertices
        looks.add((tuple(collection.get_facecolor()[0]), tuple(path.round(3).ravel().tolist())))
    assert len(axes.collections) == 30
    assert len({look[0] for look in looks}) == 7
    assert len(looks) == 30


def test_images_without_a_label_are_shown_too_and_marked_ones_are_named() -> None:
    figure = drawn([None] * 20 + ["a"] * 40, marked={3: "1"})
    [axes] = figure.axes  # type: ignore[attr-defined]
    assert sum(len(one.get_offsets()) for one in axes.collections) == 61
    assert [text.get_text() for text in axes.texts] == ["1"]


def test_without_labels_there_is_no_legend() -> None:
    assert drawn([None] * 60).legends == []  # type: ignore[attr-defined]


def test_hostile_labels_are_plain_text() -> None:
    names = ["_hidden", "$\\frac{", "a\nb\x1b[31m", "\u202egnp"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = drawn([names[number % 4] for number in range(60)])
        assert figure_bytes(figure, "png")[:4] == b"\x89PNG"  # type: ignore[arg-type]
    [legend] = figure.legends  # type: ignore[attr-defined]
    shown = [text.get_text().removeprefix("\u200b") for text in legend.get_texts()]
    assert sorted(shown) == sorted(["_hidden", "$\\frac{", "a?b?[31m", "?gnp"])
