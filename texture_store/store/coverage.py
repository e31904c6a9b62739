"""How a snapshot stands: which of its images have features, which are rejected, which are pending.

An image is featurized for a pair (encoder, layer) when a commit of that pair has it among its members. A rejection is
not about a pair, since its reason lies in the image's bytes: an image that some commit rejects and none has features
of is rejected for every pair, also for those that are asked for later. Where it has features of other pairs, the
rejection counts for the pairs of the commit that rejects it only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from texture_store.errors import BalanceError
from texture_store.store.commits import CommitRecord, Pair
from texture_store.store.snapshots import Snapshot


@dataclass(frozen=True, eq=False)
class Coverage:
    """The images of a snapshot, each in one of three sets of image_ids."""

    num_indexed: int
    featurized: set[str]
    """Have features of every pair."""
    rejected: set[str]
    """Are settled for every pair, but have no features of at least one."""
    pending: set[str]
    """Everything else."""
    torn: list[str] = field(default_factory=list)
    """Paths of feature and sample files whose number of rows is not that of their commit's members."""

    @property
    def num_featurized(self) -> int:
        """Images with all features."""
        return len(self.featurized)

    @property
    def num_rejected(self) -> int:
        """Images that are settled without them."""
        return len(self.rejected)

    @property
    def num_pending(self) -> int:
        """Images that wait."""
        return len(self.pending)


class Standing:
    """What the commits of one spec say about images, for a list of pairs; pairs are bits of an int."""

    def __init__(self, commits: Sequence[CommitRecord], pairs: Sequence[Pair]) -> None:
        self.bits: dict[Pair, int] = {pair: 1 << index for index, pair in enumerate(dict.fromkeys(pairs))}
        self.all_pairs = (1 << len(self.bits)) - 1
        self._featurized: dict[str, int] = {}
        self._rejected: dict[str, int] = {}
        for record in commits:
            bits = self.bits_of(record.pairs)
            for image_ids, sets in ((record.members, self._featurized), (record.rejected, self._rejected)):
                for image_id in image_ids:
                    sets[image_id] = sets.get(image_id, 0) | bits

    def bits_of(self, pairs: Iterable[Pair]) -> int:
        """Those of `pairs` that are asked for."""
        bits = 0
        for pair in pairs:
            bits |= self.bits.get(pair, 0)
        return bits

    def featurized(self, image_id: str) -> int:
        """Pairs of which the image has features."""
        return self._featurized.get(image_id, 0)

    def rejected(self, image_id: str) -> int:
        """Pairs that are settled by a rejection."""
        rejected = self._rejected.get(image_id)
        if rejected is None:
            return 0
        if image_id not in self._featurized:
            return self.all_pairs
        return rejected & ~self._featurized[image_id]

    def has_rejection(self, image_id: str) -> bool:
        """Whether any commit rejects the image, whatever came of it later."""
        return image_id in self._rejected

    def pending(self, image_id: str) -> int:
        """Pairs that are not settled."""
        featurized = self._featurized.get(image_id, 0)
        if featurized == self.all_pairs:
            return 0
        return self.all_pairs & ~featurized & ~self.rejected(image_id)


def coverage(snapshot: Snapshot, commits: Sequence[CommitRecord], pairs: Sequence[Pair]) -> Coverage:
    """Sort the images of a snapshot by what the commits of one spec say about these pairs."""
    standing = Standing(commits, pairs)
    featurized: set[str] = set()
    rejected: set[str] = set()
    pending: set[str] = set()
    for image_id in snapshot.table["image_id"].to_pylist():
        if standing.pending(image_id):
            pending.add(image_id)
        elif standing.featurized(image_id) == standing.all_pairs:
            featurized.add(image_id)
        else:
            rejected.add(image_id)
    asked = set(pairs)
    torn = [
        file.path
        for record in commits
        if asked.intersection(record.pairs)
        for file in record.products
        if file.rows != len(record.members)
    ]
    return Coverage(len(snapshot), featurized, rejected, pending, torn)


def check_balance(covered: Coverage) -> None:
    """BalanceError unless every indexed image is in exactly one set, and every file has its commit's rows."""
    counts = (covered.num_featurized, covered.num_rejected, covered.num_pending)
    union = covered.featurized | covered.rejected | covered.pending
    if sum(counts) != covered.num_indexed or len(union) != covered.num_indexed:
        featurized, rejected, pending = counts
        raise BalanceError(
            f"{covered.num_indexed} indexed is not {featurized} featurized + {rejected} rejected + {pending} pending;"
            " restore it from a copy"
        )
    if covered.torn:
        raise BalanceError(
            f"{len(covered.torn)} feature files, such as {covered.torn[0]}, do not have the rows that their commits"
            " list; restore it from a copy"
        )
