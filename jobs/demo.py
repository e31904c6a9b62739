"""demo: everything on a small archive of synthetic powders, from nothing.

Draws the archive beside the store, indexes, previews and featurizes it, asks DuckDB, looks for neighbours, and scores.
"""

import json
import os
import time
from dataclasses import asdict, dataclass

import click
import numpy as np

from jobs.commands import JobCommand
from jobs.featurize import featurize
from jobs.index import index
from jobs.options import json_option
from jobs.planning import Request
from jobs.powder_archive import LABELS_FILE, make_powder_archive
from jobs.preview import preview
from jobs.progress import duration, progress, say
from jobs.shards import ShardsSummary
from texture_store.errors import StoreError
from texture_store.evaluation.classifiers import NUM_TREES
from texture_store.evaluation.forest import NUM_FOLDS, forest_score
from texture_store.evaluation.neighbours import nearest
from texture_store.evaluation.scores import majority_score
from texture_store.objects import open_storage
from texture_store.spec import NETWORK_LAYERS, Encoder, Layer, PixelSpec
from texture_store.store.reader import Store, open_store

JOB = "demo"
DATASET = "powder"
DEFAULT_STORE = "./texture-store-demo"

IMAGES_PER_CLASS = 24
PICTURE_PX = 512
SEEN_PX = 256
"""Powders are drawn as large as the paper's and seen at half that size: 512 px take four times as long, and all of the
five minutes where the processor has no bfloat16."""

SHARD_SIZE = 16
"""Far smaller than the default of 64, so that a short run has progress to show."""

ENCODERS: tuple[Encoder, ...] = ("mean", "max", "gram")
LAYER: Layer = "conv4_3"
"""The layer that alone tells these powders apart best: weighted F1 0.91 with 30 pictures of each (conv5_3 0.85, conv3_3
0.83, conv2_2 0.37, conv1_2 0.25)."""

CHANNEL = 392
"""Of LAYER, counted from 1 as DuckDB does: of all its channels the one that separates the powders most (F ratio). It
answers to coarse particles."""

NUM_NEIGHBOURS = 5
TRIALS = 3

SQL = f"""\
SELECT label, count(*) AS images,
       round(avg(um_per_px_x), 2) AS um_per_px,
       round(avg(meta_std_radius_um::DOUBLE), 2) AS std_radius_um,
       round(avg(grey_mean)) AS grey,
       round(avg(vector[{CHANNEL}]), 1) AS channel_{CHANNEL}
FROM images JOIN micrographs USING (dataset, image_id) JOIN features USING (dataset, image_id)
WHERE dataset = '{DATASET}' AND encoder = 'mean' AND layer = '{LAYER}'
GROUP BY label ORDER BY std_radius_um"""  # noqa: S608 (made of constants)


@dataclass(frozen=True)
class Scores:
    """Weighted F1 of telling the powders apart, mean over trials."""

    texture: float
    """Forest on the mean features of all five layers."""
    texture_range: tuple[float, float]
    """Lowest and highest trial."""
    brightness: float
    """The same forest on mean grey and contrast alone."""
    majority: float
    """Always the most frequent powder."""
    num_images: int
    num_features: int


@dataclass(frozen=True)
class Neighbour:
    """A micrograph that looks like the one that was asked about."""

    path: str
    label: str
    cosine: float


@dataclass(frozen=True)
class DemoSummary:
    """What the demo made and found."""

    store: str
    archive: str
    preview: list[str]
    drawn: int
    featurize: ShardsSummary
    sql: str
    table: str
    asked: str
    neighbours: list[Neighbour]
    scores: Scores
    seconds: float


def demo(
    store_url: str, *, images_per_class: int = IMAGES_PER_CLASS, seed: int = 0, weights: str | None = None
) -> DemoSummary:
    """Make what is not there yet, ask, and score. The archive is kept beside the store, at `<store_url>-archive`.

    Raises:
        TextureStoreError: a step cannot be done; what is done stays, and the next run goes on from there.
    """
    started = time.monotonic()
    store_url = open_storage(store_url).url
    archive_url = f"{store_url}-archive"
    say(f"1/6 powders of known size distribution, {images_per_class} pictures of each, in {archive_url}")
    drawn = make_powder_archive(archive_url, images_per_class=images_per_class, size=PICTURE_PX, seed=seed)
    say("2/6 index: which pictures, and their labels")
    labels = f"{archive_url}/{LABELS_FILE}"
    indexed = index(store_url, DATASET, archive_url, labels=labels, shard_size=SHARD_SIZE, tell=say)
    say(f"index: {indexed.images} images in {indexed.shards} shards, snapshot {indexed.snapshot}")
    pixels = PixelSpec(size=f"{SEEN_PX}x{SEEN_PX}")
    say("3/6 preview: a contact sheet of what the network will see")
    with progress("preview") as bar:
        seen = preview(store_url, DATASET, pixels, advance=lambda done, rejected: bar.advance(done, rejected=rejected))
    say("4/6 featurize: mean, max and Gram of six layers")
    summary = _featurize(store_url, pixels, weights)
    say("5/6 ask")
    store = open_store(store_url)
    table = str(store.duckdb().sql(SQL))
    asked, neighbours = _neighbours(store, summary.spec)
    say("6/6 score: does texture tell the powders apart?")
    return DemoSummary(
        store=store_url,
        archive=archive_url,
        preview=seen,
        drawn=drawn,
        featurize=summary,
        sql=SQL,
        table=table,
        asked=asked,
        neighbours=neighbours,
        scores=_scores(store, summary.spec),
        seconds=round(time.monotonic() - started, 1),
    )


def _featurize(store_url: str, pixels: PixelSpec, weights: str | None) -> ShardsSummary:
    request = Request(store_url=store_url, dataset=DATASET, pixels=pixels, encoders=ENCODERS, weights=weights)
    summary = featurize(request)
    if summary.pending:
        reason = next(iter(summary.failed_shards.values()), "files changed since they were indexed")
        raise StoreError(f"{summary.pending} of {summary.indexed} images are pending ({reason}); run demo again")
    return summary


def _neighbours(store: Store, spec: str) -> tuple[str, list[Neighbour]]:
    features = store.features(DATASET, encoder="mean", layer=LAYER, spec=spec)
    rows = features.rows
    found = nearest(features.to_numpy(), 0, NUM_NEIGHBOURS)
    named = rows.iloc[found.rows]
    neighbours = [
        Neighbour(path, label, round(float(cosine), 4))
        for path, label, cosine in zip(named["path"], named["label"], found.cosines, strict=True)
    ]
    return str(rows["path"].iloc[0]), neighbours


def _scores(store: Store, spec: str) -> Scores:
    sets = [store.features(DATASET, encoder="mean", layer=layer, spec=spec) for layer in NETWORK_LAYERS]
    texture = np.concatenate([features.to_numpy() for features in sets], axis=1)
    rows = sets[0].rows
    labels = rows["label"].to_numpy(str)
    facts = store.micrographs(DATASET, spec=spec).to_pandas().set_index("image_id").loc[rows["image_id"]]
    brightness = facts[["grey_mean", "grey_std"]].to_numpy(np.float64)
    scores: dict[str, list[float]] = {"texture": [], "brightness": []}
    with progress("score", total=2 * TRIALS, unit="trials") as bar:
        for trial in range(TRIALS):
            for name, vectors in (("texture", texture), ("brightness", brightness)):
                scores[name].append(forest_score(vectors, labels, seed=trial, threads=os.cpu_count() or 1))
                bar.advance()
    return Scores(
        texture=float(np.mean(scores["texture"])),
        texture_range=(min(scores["texture"]), max(scores["texture"])),
        brightness=float(np.mean(scores["brightness"])),
        majority=majority_score(labels),
        num_images=len(labels),
        num_features=texture.shape[1],
    )


def account(summary: DemoSummary) -> str:
    """What was done and found, for a reader who sees it for the first time."""
    scores, done = summary.scores, summary.featurize
    low, high = scores.texture_range
    similar = "".join(f"  {each.cosine:.4f}  {each.path}  ({each.label})\n" for each in summary.neighbours)
    return f"""
{done.featurized} pictures of powders, drawn with known size distributions: 8 of them, in 4 similar pairs.
  pictures  {summary.archive} ({summary.drawn} drawn now)
  store     {summary.store} ({done.computed} featurized now, {done.rejected} rejected; {done.settings})
  preview   {", ".join(summary.preview)}

A question in SQL. Channel {CHANNEL} of {LAYER} answers to coarse particles; the mean grey tells nothing:

{summary.sql}

{summary.table}
Which pictures look like {summary.asked}? Nearest by the angle between {LAYER} mean features:

{similar}
Does texture tell the 8 powders apart? Forest of {NUM_TREES} trees, {NUM_FOLDS} folds, weighted F1, {TRIALS} trials:

  {scores.texture:.2f}  mean features of five layers, {scores.num_features} values ({low:.2f} to {high:.2f})
  {scores.brightness:.2f}  mean grey and contrast alone: so it is not brightness
  {scores.majority:.2f}  always the same powder

Look further:
  texture-store status --store {summary.store} --dataset {DATASET}
  texture-store sql --store {summary.store} "SELECT dataset, encoder, layer, featurized FROM feature_sets"
  from texture_store import open_store
  open_store("{summary.store}").features("{DATASET}", encoder="gram", layer="conv3_3").to_pandas()

It took {duration(summary.seconds)}. Running it again computes nothing twice."""  # noqa: S608 (no query: what is printed)


@click.command(
    JOB,
    cls=JobCommand,
    epilog="Example: texture-store demo --store /tmp/demo   (the pictures go to /tmp/demo-archive)",
)
@click.option(
    "--store", "store_url", metavar="URL", default=DEFAULT_STORE, show_default=True, help="Made if not there."
)
@click.option(
    "--images",
    "images_per_class",
    type=click.IntRange(min=NUM_FOLDS),
    default=IMAGES_PER_CLASS,
    show_default=True,
    help="Pictures of each of the 8 powders.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Other powders.")
@click.option("--weights", metavar="FILE|URL", default=None, help="Weights of VGG16; else the store's, or fetched.")
@json_option
def command(*, store_url: str, images_per_class: int, seed: int, weights: str | None, as_json: bool) -> None:
    """Everything on a small synthetic archive, from nothing: index, preview, featurize, query, score.

    Draws micrographs of powders with known size distributions beside the store. Takes a few minutes the first time,
    and seconds when run again.
    """
    summary = demo(store_url, images_per_class=images_per_class, seed=seed, weights=weights)
    click.echo(json.dumps(asdict(summary)) if as_json else account(summary))


if __name__ == "__main__":
    command()
