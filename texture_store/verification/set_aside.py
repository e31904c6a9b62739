"""Moving what is damaged out of the way, so that the next run makes it again. Nothing is ever deleted.

It lies under STORE/set-aside/<time>/ then, with its path below. Killed anywhere, it is run again: a file is copied
before it is taken away. The order within a finding is that of `Finding.set_aside`.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from texture_store.errors import ObjectChangedError, ObjectExistsError, ObjectNotFoundError
from texture_store.objects import ObjectInfo, Storage
from texture_store.verification.findings import Finding
from texture_store.verification.inventory import SET_ASIDE


def new_folder() -> str:
    """Of a repair that begins now."""
    return f"{SET_ASIDE}/{datetime.now(UTC).strftime('%Y-%m-%dT%H%M%SZ')}"


def repair(storage: Storage, findings: Sequence[Finding], infos: Mapping[str, ObjectInfo], folder: str) -> list[str]:
    """Set aside what the findings name, and restore what they know; the paths that were moved.

    `infos` are the files as they were when they were checked: one that is another by now is left alone.
    """
    moved: dict[str, None] = {}
    restored: list[Finding] = []
    for finding in findings:
        for path in finding.set_aside:
            if path not in moved and path in infos and _move(storage, infos[path], f"{folder}/{path}"):
                moved[path] = None
        if finding.restore is not None and finding.path not in {one.path for one in restored}:
            restored.append(finding)
    for finding in restored:
        # A record that another finding has set aside stays away.
        has_other = any(finding.path in one.set_aside for one in findings if one is not finding)
        if finding.restore is not None and not has_other:
            try:
                storage.create(finding.path, finding.restore)
            except ObjectExistsError:
                continue
    return list(moved)


def _move(storage: Storage, info: ObjectInfo, target: str) -> bool:
    try:
        data = storage.read(info.path, version=info.version)
    except (ObjectNotFoundError, ObjectChangedError):
        return False
    try:
        storage.create(target, data)
    except ObjectExistsError:
        if storage.read(target) != data:
            return _move(storage, info, f"{target}.again")
    storage.remove(info.path)
    return True
