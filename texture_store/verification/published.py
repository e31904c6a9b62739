"""What was published: each record of a publication against its parts."""

import hashlib
from collections.abc import Mapping, Sequence

from texture_store.errors import ObjectNotFoundError
from texture_store.objects import Storage
from texture_store.store.publish import Publication, parse_publication
from texture_store.verification.findings import Finding
from texture_store.verification.inventory import Place

AGAIN = "run publish again"

Part = tuple[str, int, list[str]]
"""SHA-256, rows, image_ids."""


def check_publications(
    storage: Storage, places: Sequence[Place], there: Mapping[str, object], parts: Mapping[str, Part]
) -> list[Finding]:
    """What is wrong with publications whose record can be read. `parts` are files that are sound by themselves."""
    found = []
    for place in places:
        if place.kind == "publication":
            try:
                record = parse_publication(storage.read(place.path))
            except ObjectNotFoundError:
                continue
            if record is not None:
                found += _check(place, record, places, there, parts)
    return found


def _check(
    place: Place, record: Publication, places: Sequence[Place], there: Mapping[str, object], parts: Mapping[str, Part]
) -> list[Finding]:
    image_ids: list[str] = []
    for part in record.parts:
        if part.path not in there:
            return [Finding(part.path, "missing, and was published", AGAIN, (place.path,))]
        if part.path not in parts:  # told already; its record has to go as well
            return [Finding(place.path, f"{part.path} of it is damaged", AGAIN, (part.path, place.path))]
        sha256, rows, images = parts[part.path]
        image_ids += images
        if rows != part.rows or part.sha256 not in (None, sha256):
            problem = "it is not the file that was published: its rows or checksum are other ones"
            return [Finding(part.path, problem, AGAIN, (part.path, place.path))]
    paths = [part.path for part in record.parts]
    if hashlib.sha256("\n".join(image_ids).encode()).hexdigest() != record.members or len(image_ids) != record.rows:
        return [Finding(place.path, "its files have other images than it says", AGAIN, (*paths, place.path))]
    folder = place.path.replace("published/complete/", "published/", 1).removesuffix(".json") + "/"
    strangers = sorted(one.path for one in places if one.path.startswith(folder) and one.path not in paths)
    return [
        Finding(path, "beside what was published: readers meet its images twice", AGAIN, (path,)) for path in strangers
    ]
