"""Feature specs and network weights in a store. Both are named by their content, so that writing twice is harmless."""

import re

from texture_store.errors import (
    CommitConflictError,
    FeaturesNotFoundError,
    InvalidSpecError,
    ObjectExistsError,
    ObjectNotFoundError,
    StoreFormatError,
    WeightsNotFoundError,
)
from texture_store.objects import Storage
from texture_store.spec import FeatureSpec, parse_spec
from texture_store.store.layout import spec_path, weights_path


def write_spec(storage: Storage, spec: FeatureSpec) -> None:
    """Keep a spec under its fingerprint. Raises CommitConflictError when something else is there."""
    path = spec_path(spec.fingerprint)
    try:
        storage.create(path, spec.canonical_json.encode())
    except ObjectExistsError:
        if storage.read(path) != spec.canonical_json.encode():
            raise CommitConflictError(
                f"{storage.url_of(path)}: its content is not that of its fingerprint; delete it and run again"
            ) from None


def read_spec(storage: Storage, fingerprint: str) -> FeatureSpec:
    """The spec of a fingerprint.

    Raises FeaturesNotFoundError when there is none, StoreFormatError when the file's content has another fingerprint,
    or settings that this release does not know.
    """
    path = spec_path(fingerprint)
    try:
        text = storage.read(path)
    except ObjectNotFoundError:
        raise FeaturesNotFoundError(
            f"{storage.url}: no spec {fingerprint}; status lists those that the store has"
        ) from None
    try:
        spec = parse_spec(text)
    except InvalidSpecError as error:
        raise StoreFormatError(
            f"{storage.url_of(path)}: {error}; it is damaged, or of a newer texture_store (then upgrade)"
        ) from None
    if spec.fingerprint != fingerprint:
        raise StoreFormatError(f"{storage.url_of(path)}: its content has another fingerprint, {spec.fingerprint}")
    return spec


def write_weights(storage: Storage, digest: str, data: bytes) -> None:
    """Keep weights (safetensors bytes) under the digest of their tensors; those that are there stay."""
    try:
        storage.create(weights_path(digest), data)
    except ObjectExistsError:
        return


def read_weights(storage: Storage, digest: str) -> bytes:
    """The safetensors bytes of a digest; whoever parses them checks the digest. Raises WeightsNotFoundError."""
    try:
        return storage.read(weights_path(digest))
    except ObjectNotFoundError:
        raise WeightsNotFoundError(
            f"{storage.url}: no weights {digest[:16]}...; run featurize with --weights to put them there"
        ) from None


def stored_weights(storage: Storage) -> list[str]:
    """The digests of the weights in the store, sorted."""
    found = (re.fullmatch(r"weights/([0-9a-f]{64})\.safetensors", info.path) for info in storage.list("weights"))
    return sorted(match[1] for match in found if match)
