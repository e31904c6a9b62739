"""What a recipe asks of each job."""

from typing import Any

from jobs.evaluation_request import EvaluationRequest
from jobs.options import share_of
from jobs.planning import Request
from jobs.recipe_tables import VLAD_SIZE, Recipe, VladTable


def index_settings(recipe: Recipe) -> dict[str, Any]:
    """Keywords of `jobs.index.index`."""
    return recipe.index.model_dump()


def featurize_request(recipe: Recipe) -> Request:
    """Of mean, max and Gram."""
    table = recipe.featurize
    return Request(
        store_url=str(recipe.store),
        dataset=recipe.dataset,
        pixels=table.pixels(),
        encoders=table.encoders,
        layers=table.layers,
        precision=table.precision,
        keep_bits=table.keep_bits,
        weights=table.weights,
        allow_foreign=table.foreign_weights,
        address=recipe.address,
    )


def sample_request(recipe: Recipe, vlad: VladTable) -> Request:
    """Of the descriptors that a dictionary is learnt from."""
    return Request(
        store_url=str(recipe.store),
        dataset=recipe.dataset,
        pixels=vlad.pixels(VLAD_SIZE),
        encoders=(vlad.learning().product,),
        layers=vlad.layers,
        precision=vlad.precision,
        weights=vlad.weights,
        allow_foreign=vlad.foreign_weights,
        address=recipe.address,
    )


def evaluation_request(recipe: Recipe, spec: str, vlad_spec: str | None) -> EvaluationRequest:
    """Of the recipe's feature sets, with these specs and no others."""
    table = recipe.evaluate
    return EvaluationRequest(
        store_url=str(recipe.store),
        dataset=recipe.dataset,
        encoders=recipe.encoders,
        layers=table.layers,
        paper_grid=table.grid is not None,
        classifier=table.classifier,
        task=table.task,
        trials=table.trials,
        folds=table.folds,
        trees=table.trees,
        protocols=table.protocol,
        label_column=table.label_column,
        group_column=table.group_column,
        with_columns=table.with_columns,
        where=table.where,
        spec=spec,
        vlad_spec=vlad_spec,
        strict=table.strict,
        raw_sums=table.raw_sums,
        address=recipe.address,
    )


def allowed_rejected(recipe: Recipe) -> float:
    """Share of the snapshot."""
    return share_of(str(recipe.featurize.max_rejected), "max_rejected")
