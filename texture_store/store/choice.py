"""Which spec is meant when none is named: the newest complete one, and never one with random weights."""

from dataclasses import dataclass

from texture_store.errors import FeaturesNotFoundError, UsageError
from texture_store.spec import ENCODERS, LAYERS, FeatureSpec
from texture_store.store.catalog import Catalog
from texture_store.store.commits import FeaturePair

MIN_PREFIX = 4
"""Shortest abbreviation of a fingerprint, `s` included."""


@dataclass(frozen=True)
class Choice:
    """A spec for one encoder and layer, and how far it covers the snapshot."""

    spec: FeatureSpec
    featurized: int
    rejected: int
    pending: int

    @property
    def note(self) -> str | None:
        """What a user should be told about it, in one line; None when it is complete and of the paper's weights."""
        notes = []
        if self.pending:
            total = self.featurized + self.rejected + self.pending
            notes.append(f"{self.pending} of {total} images are pending (run featurize again)")
        if self.spec.is_random:
            notes.append("its weights are RANDOM, for tests only")
        return f"spec {self.spec.fingerprint}: {'; '.join(notes)}" if notes else None


def choose_spec(catalog: Catalog, pair: FeaturePair, named: str | None = None) -> Choice:
    """The spec that `named` says (a fingerprint, or an unambiguous start of one); else the one of the newest commit
    among those that cover the whole snapshot; else the one that covers most.

    Raises FeaturesNotFoundError, which tells what there is, and UsageError for an encoder or layer that does not exist
    and for an abbreviation that fits several specs.
    """
    _check(pair)
    if named is not None:
        candidates = [named_spec(catalog, named)]
    else:
        candidates = [spec for spec in catalog.fingerprints() if not catalog.spec(spec).is_random]
    choices = [_choice(catalog, spec, pair) for spec in candidates if pair in catalog.pairs(spec)]
    choices = [choice for choice in choices if choice.featurized]
    if not choices:
        raise FeaturesNotFoundError(_nothing(catalog, pair, named))
    return max(
        choices,
        key=lambda choice: (
            # Without a complete one, coverage decides before age.
            -choice.pending,
            catalog.newest(choice.spec.fingerprint, pair),
            choice.spec.fingerprint,
        ),
    )


def named_spec(catalog: Catalog, named: str) -> str:
    """The fingerprint that a name stands for. Raises FeaturesNotFoundError, and UsageError when it fits several."""
    found = [spec for spec in catalog.fingerprints() if spec.startswith(named)]
    if named in found:
        return named
    if len(found) > 1:
        raise UsageError(f"--spec {named}: fits {', '.join(found)}; give more of it")
    if not found or len(named) < MIN_PREFIX:
        known = ", ".join(catalog.fingerprints()) or "none"
        why = "give more of it" if found else "no such spec has features"
        raise FeaturesNotFoundError(f"spec {named} of dataset {catalog.dataset}: {why}; there are: {known}")
    return found[0]


def chosen_pairs(catalog: Catalog) -> dict[FeaturePair, Choice]:
    """The choice for every encoder and layer that has one when none is named."""
    pairs = {pair for spec in catalog.fingerprints() for pair in catalog.pairs(spec)}
    chosen: dict[FeaturePair, Choice] = {}
    for pair in sorted(pairs):
        try:
            chosen[pair] = choose_spec(catalog, pair)
        except FeaturesNotFoundError:
            continue
    return chosen


def default_spec(catalog: Catalog, named: str | None = None) -> str | None:
    """The spec for tables that do not depend on encoder and layer, such as `micrographs`: that of most of the chosen
    feature sets, the newest of equals; None when there is none to choose.
    """
    if named is not None:
        return named_spec(catalog, named)
    votes: dict[str, tuple[int, str]] = {}
    for pair, choice in chosen_pairs(catalog).items():
        fingerprint = choice.spec.fingerprint
        count, newest = votes.get(fingerprint, (0, ""))
        votes[fingerprint] = (count + 1, max(newest, catalog.newest(fingerprint, pair)))
    if not votes:  # all rejected so far, say
        for fingerprint in catalog.fingerprints():
            if not catalog.spec(fingerprint).is_random:
                votes[fingerprint] = (0, max(record.created for record in catalog.commits(fingerprint)))
    return max(votes, key=lambda spec: votes[spec], default=None)


def _check(pair: FeaturePair) -> None:
    encoder, layer = pair
    if encoder not in ENCODERS:
        raise UsageError(f"encoder {encoder!r}: there are {', '.join(ENCODERS)}")
    if layer not in LAYERS:
        raise UsageError(f"layer {layer!r}: there are {', '.join(LAYERS)}")


def _choice(catalog: Catalog, fingerprint: str, pair: FeaturePair) -> Choice:
    covered = catalog.coverage(fingerprint, pair)
    return Choice(catalog.spec(fingerprint), covered.num_featurized, covered.num_rejected, covered.num_pending)


def _nothing(catalog: Catalog, pair: FeaturePair, named: str | None) -> str:
    """What is missing, what there is, and the command that makes it."""
    encoder, layer = pair
    what = f"dataset {catalog.dataset}: no features of encoder {encoder} at layer {layer}"
    what += f" in spec {named}" if named else ""
    there: list[str] = []
    for spec in catalog.fingerprints():
        label = " (random weights, only when named)" if catalog.spec(spec).is_random else ""
        pairs = catalog.pairs(spec)
        encoders = sorted({found for found, _ in pairs})
        layers = sorted({found for _, found in pairs})
        there.append(f"spec {spec}{label} has {', '.join(encoders)} at {', '.join(layers)}")
    command = "encode" if encoder == "vlad" else f"featurize --encoders {encoder} --layers {layer}"
    return (
        f"{what}; {'; '.join(there) or 'nothing is featurized yet'};"
        f" run: texture-store {command} --store {catalog.storage.url} --dataset {catalog.dataset}"
    )
