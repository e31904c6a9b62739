"""Files that commits name: each against every record that names it, and all of them together."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from texture_store.store import layout
from texture_store.store.commits import CommitRecord, Pair
from texture_store.verification.findings import DamagedError, Finding
from texture_store.verification.inventory import PRODUCTS, Place
from texture_store.verification.records import AGAIN, Name, Records


@dataclass
class Committed:
    """The commits of one dataset and spec by file, and what their files have told so far."""

    records: Records
    by_path: dict[str, list[Name]] = field(default_factory=lambda: defaultdict(list))
    facts: set[str] = field(default_factory=set)
    """image_ids with facts in a sound file."""
    shapes: dict[str, tuple[int, int]] = field(default_factory=dict)
    rejected: set[str] = field(default_factory=set)
    """image_ids with a row in a sound file under rejected/."""

    @classmethod
    def of(cls, records: Records) -> "Committed":
        """Nothing read yet."""
        found = cls(records)
        for name, record in records.counting.items():
            for file in record.files:
                found.by_path[file.path].append(name)
        return found

    def check(self, place: Place, data: bytes, table: pa.Table) -> None:
        """A file against the records that name it. Raises DamagedError."""
        sha256 = hashlib.sha256(data).hexdigest()
        images = table["image_id"].to_pylist() if "image_id" in table.column_names else []
        for name in self.by_path[place.path]:
            record = self.records.counting[name]
            file = next(one for one in record.files if one.path == place.path)
            if (file.bytes, file.sha256) != (len(data), sha256):
                raise DamagedError("it is not the file that its commit names: its size or checksum is another one")
            if file.rows != table.num_rows:
                raise DamagedError(f"{table.num_rows} rows, and {file.rows} in its commit")
            if place.kind in PRODUCTS and set(images) != set(record.members):
                raise DamagedError("its images are not those of its commit")
            if place.kind == "micrographs" and set(images) != {*record.members, *record.facts_only}:
                raise DamagedError("its images are not those of its commit")

    def finding(self, path: str, problem: str) -> Finding:
        """What to do about a file that is damaged or missing: nothing that names it counts any more."""
        records, names = self.records, set(self.by_path[path])
        if path.startswith("micrographs/"):
            # Images without facts have no home: all that is committed of them has to be committed anew. Their files
            # stay, and are adopted.
            images: set[str] = set()
            for name in names:
                images.update(records.counting[name].members, records.counting[name].facts_only)
            names |= {name for name, record in records.counting.items() if images.intersection(record.members)}
        return Finding(path, problem, AGAIN, records.without(names, [path] if problem != MISSING else []))

    def together(self) -> list[Finding]:
        """What only shows when all files were read."""
        return [*self._doubled(), *self._without_facts(), *self._without_reason()]

    def _doubled(self) -> list[Finding]:
        owner: dict[tuple[Pair, str], Name] = {}
        twice: dict[Name, int] = defaultdict(int)
        for name, record in sorted(self.records.counting.items(), key=lambda one: (one[1].created, one[0])):
            for pair in record.pairs:
                for image in record.members:
                    if owner.setdefault((pair, image), name) != name:
                        twice[name] += 1
        found = []
        for name, count in twice.items():
            files = [file.path for file in self.records.counting[name].products]
            problem = f"{count} vectors of images that an earlier commit has as well"
            found.append(Finding(self._path(name), problem, AGAIN, self.records.without([name], files)))
        return found

    def _without_facts(self) -> list[Finding]:
        def lacks(record: CommitRecord) -> int:
            return len(set(record.members) - self.facts)

        return [
            Finding(
                self._path(name), f"{lacks(record)} of its images have no facts", AGAIN, self.records.without([name])
            )
            for name, record in self.records.counting.items()
            if lacks(record)
        ]

    def _without_reason(self) -> list[Finding]:
        return [
            Finding(self._path(name), "an image is rejected, and no row says why", AGAIN, self.records.without([name]))
            for name, record in self.records.counting.items()
            if not self.rejected.issuperset(record.rejected)
        ]

    def _path(self, name: Name) -> str:
        return self.records.paths.get(name) or layout.commit_path(self.records.dataset, self.records.spec, *name)


MISSING = "missing, and a commit names it"


def missing_files(committed: Committed, there: Mapping[str, object]) -> list[Finding]:
    """Files that commits name and that are not there."""
    return [committed.finding(path, MISSING) for path in sorted(committed.by_path) if path not in there]
