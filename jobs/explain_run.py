"""The steps of explain on one plan: each computes what the store lacks, later ones share what earlier ones found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.cluster import RaySession
from jobs.evaluation_request import ALL_LAYERS
from jobs.explain_choice import NUM_HEAT_MAPS, choose_filters, extreme_images, feature_set_of, named_image
from jobs.explain_plan import ExplanationPlan
from jobs.explain_request import Filter
from jobs.progress import say
from texture_store.errors import UsageError, WeightsError
from texture_store.store.explained import explanations_frame, read_explanations

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass
class ExplanationSummary:
    """What was found out; the tables in the store have all of it."""

    dataset: str
    snapshot: int
    spec: str
    images: int
    protocol: str | None = None
    """Of the folds of importances."""
    score: float | None = None
    """Weighted F1 of their forests."""
    filters: list[dict[str, Any]] = field(default_factory=list)
    classes: list[dict[str, Any]] = field(default_factory=list)
    typical: list[dict[str, Any]] = field(default_factory=list)
    atypical: list[dict[str, Any]] = field(default_factory=list)
    heat_maps: list[dict[str, Any]] = field(default_factory=list)
    neighbours: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """What was not done, and why."""
    failed: bool = False
    """Whether some of it should have been possible, and the same command may do it later."""
    computed: dict[str, int] = field(default_factory=dict)
    """Files that this run made, by table."""
    files: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Run:
    """One run: the steps share what earlier ones found."""

    def __init__(
        self, plan: ExplanationPlan, summary: ExplanationSummary, session: RaySession, output: str | None
    ) -> None:
        self.plan, self.summary, self.session, self.output = plan, summary, session, output

    def everything(self) -> None:
        """What is important and characteristic, typical images, the map, and pictures of it all."""
        from jobs.explain_classes import class_filters
        from jobs.explain_images import map_points, typical_images
        from jobs.explain_importances import importances
        from jobs.explain_pictures import edge_filters
        from jobs.explain_sheets import class_sheets, filters_sheet, heat_map_sheet, map_sheet, picture_of
        from jobs.explain_text import about_filters, class_rows, gains_of, importance_rows, typical_rows

        plan, summary, request = self.plan, self.summary, self.plan.request
        ranked = importances(plan, self.session.join)
        if ranked is not None:
            summary.protocol, summary.score = ranked["protocol"].iloc[0], float(ranked["score"].iloc[0])
        say("characteristic filters, typical images, map")
        classes = class_filters(plan)
        typical: pd.DataFrame | None = None
        try:
            typical = typical_images(plan)
        except UsageError as error:
            self._leave_out(f"typical and atypical images are left out: {error}", failed=False)
        mapped = feature_set_of(plan, request.encoder or "mean", request.layer or ALL_LAYERS, say)
        points: pd.DataFrame | None = None
        try:
            points = map_points(plan, mapped)
        except UsageError as error:
            self._leave_out(f"the map is left out: {error}", failed=False)
        chosen = choose_filters(plan, ranked, classes)
        made = self._textures(chosen.every)
        shown = chosen.top[:NUM_HEAT_MAPS]
        extreme = extreme_images(plan, typical) if shown else []
        exemplars, heat_maps = self._pictures(chosen.every, dict.fromkeys(extreme, shown))
        pictures, at_edge = picture_of(made), edge_filters(exemplars)
        means = self._class_means(chosen.every)
        top = list(dict.fromkeys([*chosen.top, *chosen.by_impurity]))
        figures: dict[str, Any] = {}
        if ranked is not None:
            title = f"{request.dataset}: the filters that forests rely on"
            notes = [
                f"By what weighted F1 ({summary.score:.3f}) loses when a filter and those correlated with it are"
                f" permuted in the test folds (by {summary.protocol}), and where that cannot be told from 0 by the loss"
                f" of votes for the right class. {request.trials} trials of {request.folds} folds,"
                f" {request.trees} trees. ± is one standard deviation over folds. The three of greatest impurity"
                " importance come last, unless"
                " they are among the first."
            ]
            about = about_filters(top, ranked, means, at_edge)
            figures["filters"] = filters_sheet(
                plan, top, about, pictures, gains_of(made), exemplars, title=title, notes=notes
            )
        if classes is not None:
            figures |= class_sheets(plan, chosen, classes, typical, pictures, exemplars, at_edge, say)
        if len(heat_maps):
            figures["heat-maps"] = heat_map_sheet(plan, extreme, shown, heat_maps)
        if points is not None:
            figures["map"] = map_sheet(plan, points, typical)
        tables = {"importances": ranked, "characteristics": classes, "typical": typical, "map-points": points}
        figures |= {f"{name}.csv": _csv(table) for name, table in tables.items() if table is not None}
        summary.filters = importance_rows(top, ranked, means, gains_of(made), at_edge)
        summary.classes = class_rows(chosen, classes, at_edge)
        summary.typical, summary.atypical = typical_rows(typical)
        keys = [table["key"].iloc[0] for table in tables.values() if table is not None]
        self._write(figures, keys)

    def named_filters(self) -> None:
        """Textures and exemplars of some filters."""
        from jobs.explain_pictures import edge_filters
        from jobs.explain_sheets import filters_sheet, picture_of
        from jobs.explain_text import about_filters, gains_of, importance_rows

        plan, summary, filters = self.plan, self.summary, list(self.plan.request.filters)
        made = self._textures(filters)
        exemplars, _ = self._pictures(filters, {})
        means, ranked = self._class_means(filters), self._known_importances()
        title = f"{plan.request.dataset}: {len(filters)} filters"
        at_edge = edge_filters(exemplars)
        about = about_filters(filters, ranked, means, at_edge)
        figure = filters_sheet(plan, filters, about, picture_of(made), gains_of(made), exemplars, title=title)
        summary.filters = importance_rows(filters, ranked, means, gains_of(made), at_edge)
        self._write({"named-filters": figure}, [f"{layer}:{number}" for layer, number in filters])

    def image(self, path: str) -> None:
        """Heat maps of one image."""
        from jobs.explain_sheets import image_heat_maps

        plan, request = self.plan, self.plan.request
        row = named_image(plan, path, "--image")
        filters = list(request.filters)
        if not filters:
            ranked = self._known_importances()
            if ranked is None:
                raise UsageError(
                    "--image: the store does not know yet which filters are important; name some with --filters, or run"
                    f" explain --dataset {request.dataset} first"
                )
            top = ranked[ranked["rank"] <= NUM_HEAT_MAPS].sort_values("rank")
            filters = [(layer, int(number)) for layer, number in zip(top["layer"], top["filter"], strict=True)]
        _, found = self._pictures([], {row: filters})
        self.summary.heat_maps = [
            {
                "layer": one["layer"],
                "filter": int(one["filter"]),
                "mean_activation": float(one["mean_activation"]),
                "highest_activation": float(one["highest_activation"]),
            }
            for one in found.to_dict("records")
        ]
        figures = image_heat_maps(plan, row, found)
        self._write({f"heat-map-{name}": figure for name, figure in figures.items()}, [path])

    def neighbours(self, path: str) -> None:
        """The micrographs nearest to one."""
        from jobs.explain_neighbours import neighbours
        from jobs.explain_sheets import neighbours_sheet

        plan, request = self.plan, self.plan.request
        row = named_image(plan, path, "--neighbours")
        layer = request.layer or ("conv4_3" if request.encoder is None else ALL_LAYERS)
        found = neighbours(plan, row, feature_set_of(plan, request.encoder or "mean", layer, say))
        labels = dict(zip(plan.images.column("image_id").to_pylist(), plan.labels, strict=True))
        self.summary.neighbours = [
            {
                "rank": int(one["rank"]),
                "path": one["path"],
                "label": labels[one["image_id"]] or "-",
                "cosine": f"{one['cosine']:.4f}",
            }
            for one in found.to_dict("records")
        ]
        self._write({"neighbours": neighbours_sheet(plan, row, found, say)}, [found["key"].iloc[0]])

    def _textures(self, filters: Sequence[Filter]) -> "pa.Table":
        from jobs.explain_textures import textures
        from schemas import TEXTURES

        try:
            made, number = textures(self.plan, filters, self.session.join)
        except WeightsError as error:
            self._leave_out(f"textures are left out: {error}", failed=True)
            return TEXTURES.empty_table()
        self.summary.computed["textures"] = number
        return made

    def _pictures(
        self, filters: Sequence[Filter], heat_maps: Mapping[int, Sequence[Filter]]
    ) -> tuple["pd.DataFrame", "pd.DataFrame"]:
        from jobs.explain_pictures import exemplars_and_heat_maps

        return exemplars_and_heat_maps(self.plan, filters, heat_maps, self.session.join, self._failed)

    def _failed(self, reason: str) -> None:
        self._leave_out(reason, failed=True)

    def _leave_out(self, reason: str, *, failed: bool) -> None:
        say(reason)
        self.summary.left_out.append(reason)
        self.summary.failed |= failed

    def _class_means(self, filters: Sequence[Filter]) -> dict[Filter, dict[str, float]]:
        labelled = self.plan.labelled
        if labelled is None:
            return {}
        columns = np.array([self.plan.filters.index(one) for one in filters], np.intp)
        values = self.plan.matrix[np.ix_(labelled.rows, columns)]
        return {
            one: {
                str(name): float(values[labelled.labels == name, place].mean(dtype=np.float64))
                for name in np.unique(labelled.labels)
            }
            for place, one in enumerate(filters)
        }

    def _known_importances(self) -> "pd.DataFrame | None":
        """The newest ones in the store for this label column."""
        request = self.plan.request
        rows = read_explanations(self.plan.storage, request.dataset, "importances")
        frame = explanations_frame(rows, "importances", label_column=request.label_column)
        return frame if len(frame) else None

    def _write(self, figures: Mapping[str, Any], question: Sequence[str]) -> None:
        from jobs.explain_sheets import write_files

        shown = {name: figure for name, figure in figures.items() if figure is not None}
        self.summary.files = write_files(self.plan, shown, question, self.output)


def _csv(table: "pd.DataFrame") -> bytes:
    shown = table.drop(columns=["created", "versions", "conditions", "seeds"], errors="ignore")
    data: bytes = shown.to_csv(index=False).encode()
    return data
