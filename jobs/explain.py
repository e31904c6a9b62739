"""explain: why the scores are what they are: important and characteristic filters, their textures, typical images."""

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, get_args

import click

from jobs.cluster import RaySession, address_option
from jobs.commands import RecordedCommand
from jobs.evaluation_request import PROTOCOLS
from jobs.explain_choice import (
    parse_filters,
)
from jobs.explain_plan import make_explanation_plan
from jobs.explain_request import ExplainRequest, RecipeChoice
from jobs.explain_run import ExplanationSummary, Run
from jobs.options import EXIT_FAILED, dataset_option, json_option, print_summary, spec_option, store_option
from jobs.progress import say
from texture_store.errors import UsageError
from texture_store.evaluation.classifiers import NUM_TREES
from texture_store.evaluation.embedding import METHODS, Method
from texture_store.evaluation.folds import Protocol
from texture_store.spec import ENCODERS, Encoder
from texture_store.store.explanations import explained_keys

if TYPE_CHECKING:
    pass

JOB = "explain"


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
        run = Run(plan, summary, session, output)
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


@click.command(
    JOB,
    cls=RecordedCommand,
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
