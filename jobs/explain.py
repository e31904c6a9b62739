"""explain: why the scores are what they are: important and characteristic filters, their textures, typical images."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, get_args

import click
import numpy as np

from jobs.cluster import RaySession, address_option
from jobs.evaluation_request import ALL_LAYERS, PROTOCOLS
from jobs.explain_choice import (
    NUM_HEAT_MAPS,
    choose_filters,
    extreme_images,
    feature_set_of,
    named_image,
    parse_filters,
)
from jobs.explain_plan import ExplanationPlan, make_explanation_plan
from jobs.explain_request import ExplainRequest, Filter, RecipeChoice
from jobs.options import (
    EXIT_FAILED,
    JobCommand,
    dataset_option,
    json_option,
    print_summary,
    spec_option,
    store_option,
)
from jobs.progress import say
from texture_store.errors import UsageError, WeightsError
from texture_store.evaluation.classifiers import NUM_TREES
from texture_store.evaluation.embedding import METHODS, Method
from texture_store.evaluation.folds import Protocol
from texture_store.spec import ENCODERS, Encoder
from texture_store.store.explained import explanations_frame, read_explanations
from texture_store.store.explanations import explained_keys

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

JOB = "explain"


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


def explain(request: ExplainRequest, *, output: str | None = None) -> ExplanationSummary:
    """Answer what is asked, computing what the store lacks; tables are kept in the store, figures in its reports.

    `output`: a folder or URL for the figures, beside STORE/reports/.

    Raises:
        TextureStoreError: the question cannot be answered. What labels or an archive are missing for is left out.
    """
    started = time.monotonic()
    plan = make_explanation_plan(request, say)
    summary = ExplanationSummary(
        dataset=request.dataset,
        snapshot=plan.catalog.snapshot.number,
        spec=plan.features.spec,
        images=plan.images.num_rows,
    )
    with RaySession(request.address) as session:
        run = _Run(plan, summary, session, output)
        if request.neighbours is not None:
            run.neighbours(request.neighbours)
        elif request.image is not None:
            run.image(request.image)
        elif request.filters:
            run.named_filters()
        else:
            summary.left_out += plan.left_out
            run.everything()
    now = explained_keys(plan.storage, request.dataset)
    summary.computed |= {table: len(keys - plan.there[table]) for table, keys in now.items()}
    summary.seconds = round(time.monotonic() - started, 1)
    return summary


class _Run:
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


@click.command(
    JOB,
    cls=JobCommand,
    epilog="Example: texture-store explain --store s3://lab/store --dataset steel --output ./why",
)
@store_option
@dataset_option
@click.option("--label-column", default="label", show_default=True, metavar="NAME", help="Of the labels file.")
@click.option(
    "--group-column", default=None, metavar="NAME", help="The piece that an image is of.  [default: specimen]"
)
@click.option(
    "--where",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="Only images with this value; != for all others. May be repeated.",
)
@click.option(
    "--protocol",
    type=click.Choice(PROTOCOLS),
    default=None,
    help="Folds of importances.  [default: group where every class is in several groups, else image]",
)
@click.option("--trials", type=click.IntRange(min=1), default=10, show_default=True, help="Cross-validations.")
@click.option("--folds", type=click.IntRange(2, 100), default=3, show_default=True, help="Of each.")
@click.option("--trees", type=click.IntRange(min=1), default=NUM_TREES, show_default=True, help="Of a forest.")
@click.option("--top", type=click.IntRange(1, 200), default=12, show_default=True, help="Important filters to show.")
@click.option(
    "--recipe",
    type=click.Choice(get_args(RecipeChoice)),
    default="better",
    show_default=True,
    help="Of textures; paper: the Keras example's.",
)
@click.option(
    "--map", "map_method", type=click.Choice(METHODS), default="pca", show_default=True, help="Of the dataset."
)
@click.option(
    "--encoder", type=click.Choice(ENCODERS), default=None, help="Of the map and the neighbours.  [default: mean]"
)
@click.option(
    "--layer",
    default=None,
    metavar="NAME",
    help="Of the map and the neighbours, or all.  [default: all; neighbours: conv4_3]",
)
@spec_option
@click.option(
    "--snapshot", type=click.IntRange(min=1), default=None, help="An earlier one.  [default: the current one]"
)
@click.option("--filters", default="", metavar="LIST", help="Only these, such as conv4_3:17,conv5_3:3.")
@click.option("--image", default=None, metavar="PATH", help="Only heat maps of this image of the dataset.")
@click.option("--neighbours", default=None, metavar="PATH", help="Only the micrographs nearest to this one.")
@click.option("--same-scale", is_flag=True, help="Neighbours at the same um per px only, within a tenth.")
@click.option("--output", default=None, metavar="DIR", help="Also write tables and figures here.")
@address_option
@json_option
def command(
    *,
    store_url: str,
    dataset: str,
    label_column: str,
    group_column: str | None,
    where: tuple[str, ...],
    protocol: Protocol | None,
    trials: int,
    folds: int,
    trees: int,
    top: int,
    recipe: RecipeChoice,
    map_method: Method,
    encoder: Encoder | None,
    layer: str | None,
    spec: str | None,
    snapshot: int | None,
    filters: str,
    image: str | None,
    neighbours: str | None,
    same_scale: bool,
    output: str | None,
    address: str,
    as_json: bool,
) -> None:
    """Show what the classifiers rely on, what is characteristic of each class, and which images are typical of it.

    On the mean features of all five layers, whose columns are filters of VGG16: the filters that forests rely on, with
    the texture that each answers to and the micrographs that it is most active on; those that are characteristic of a
    class; heat maps; a map of the dataset. Tables go to STORE/explanations/, figures to STORE/reports/dataset=D/.

    What is in the store is not computed again; repeat the command to go on after a crash.
    """
    if neighbours is not None and (image is not None or filters):
        raise UsageError("--neighbours answers one question; ask for --image or --filters in a run of their own")
    if same_scale and neighbours is None:
        raise UsageError("--same-scale is about neighbours; name an image with --neighbours")
    summary = explain(
        ExplainRequest(
            store_url=store_url,
            dataset=dataset,
            label_column=label_column,
            group_column=group_column,
            where=where,
            protocol=protocol,
            trials=trials,
            folds=folds,
            trees=trees,
            top=top,
            recipe=recipe,
            map_method=map_method,
            encoder=encoder,
            layer=layer,
            spec=spec,
            snapshot=snapshot,
            filters=parse_filters(filters) if filters else (),
            image=image,
            neighbours=neighbours,
            same_scale=same_scale,
            address=address,
        ),
        output=output,
    )
    if as_json:
        print_summary(asdict(summary), as_json=True)
    else:
        from jobs.explain_text import print_answer

        print_answer(summary)
    sys.exit(EXIT_FAILED if summary.failed else 0)


if __name__ == "__main__":
    command()
