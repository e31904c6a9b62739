"""VLAD: for each word of a dictionary, the sum of what its descriptors differ from it (Jégou et al. 2010).

v_k = sum of (x - w_k) over the descriptors x whose nearest word is w_k: raw sums, since they add up over tiles and
every normalisation (normalisation.py) can be taken from them later.

Shape suffixes: B images, D channels, H and W positions, N or M descriptors, K words, P blocks of descriptors.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from texture_store.encoding.descriptors import BLOCK_ROWS, check_maps, gather
from texture_store.errors import DimensionMismatchError, EncodingError
from texture_store.torch_switches import fixed_products

Words = npt.NDArray[np.float32] | torch.Tensor

_CPU_CHUNK_BYTES = 4 << 20
_CUDA_CHUNK_BYTES = 1 << 30

_FLOAT32_ROUNDING = 2.0**-24


def vlad(maps_BDHW: torch.Tensor, words_KD: Words) -> tuple[torch.Tensor, torch.Tensor]:
    """Raw residual sums float32 (B, K D), word by word, and descriptors per word int32 (B, K).

    Takes maps (B, D, H, W) and words float32 (K, D). A word without descriptors has zeros. Raises as `Vlad` does.
    """
    statistic = Vlad(maps_BDHW, words_KD)
    gather(maps_BDHW, [statistic])
    return statistic.vectors(), statistic.counts()


def vlad_by_each(maps_BDHW: torch.Tensor, dictionaries: Sequence[Words]) -> list[torch.Tensor]:
    """`vlad` by each of several dictionaries, in one pass over the maps: raw residual sums float32 (B, K D) each."""
    statistics = [Vlad(maps_BDHW, words_KD) for words_KD in dictionaries]
    gather(maps_BDHW, statistics)
    return [statistic.vectors() for statistic in statistics]


class Vlad:
    """Residual sums and counts, word by word.

    A descriptor goes to its nearest word, of equally near ones to the lowest. Distances come from a float32 matrix
    product; where it leaves a doubt they are taken again in float64, so that counts are those of the definition. A
    descriptor on the wrong side of a near tie would cost a word with n descriptors one in n of its sum.

    Residuals are summed, not descriptors. S_k - n_k w_k is as exact on maps of real micrographs (both within 1e-6), but
    loses as many digits as descriptors are greater than residuals, and leaves rounding errors where residuals are zero,
    of which intra-normalisation would make a unit vector.
    """

    def __init__(self, maps_BDHW: torch.Tensor, words_KD: Words) -> None:
        """Raises DimensionMismatchError for maps and words that do not fit, EncodingError for words not finite."""
        check_maps(maps_BDHW)
        device, (num_images, channels) = maps_BDHW.device, maps_BDHW.shape[:2]
        # A copy in any case: arrays that come from Parquet are read-only, which torch has no word for.
        array = words_KD.cpu().numpy() if isinstance(words_KD, torch.Tensor) else words_KD
        self._words_KD = torch.from_numpy(np.array(array, dtype=np.float32)).to(device)
        if self._words_KD.ndim != 2 or self._words_KD.shape[0] < 1 or self._words_KD.shape[1] != channels:
            raise DimensionMismatchError(
                f"words of maps with {channels} channels are (K, {channels}), not {tuple(self._words_KD.shape)}; is "
                "this the dictionary of another layer?"
            )
        if not self._words_KD.isfinite().all():
            raise EncodingError("the dictionary holds words that are not finite; fit it again")
        num_words = self._words_KD.shape[0]
        self._sums_BKD = torch.zeros((num_images, num_words, channels), dtype=torch.float64, device=device)
        self._counts_BK = torch.zeros((num_images, num_words), dtype=torch.int64, device=device)
        # |x - w|² is least where x·(w - c) - (|w|² - |c|²)/2 is greatest; c, the mean word, keeps the products small.
        words64_KD = self._words_KD.to(torch.float64)
        centre_D = words64_KD.mean(dim=0)
        offsets_K = (centre_D.square().sum() - words64_KD.square().sum(dim=1)) / 2
        self._offsets_K = offsets_K.to(torch.float32)
        self._centred_DK = (words64_KD - centre_D).to(torch.float32).T
        self._radius = float((words64_KD - centre_D).square().sum(dim=1).max().sqrt())
        self._largest_offset = float(offsets_K.abs().max())
        places_K = torch.arange(num_words, dtype=torch.float32, device=device)
        self._ones_and_places_K2 = torch.stack([torch.ones_like(places_K), places_K], dim=1)
        # What a product of length D in float32 is off by at most, as a share of |x| |w - c|, and for two words.
        self._doubt = 2 * (channels + 8) * _FLOAT32_ROUNDING
        # On CUDA a chunk has rows of all images of the batch.
        chunk_bytes = _CUDA_CHUNK_BYTES // num_images if maps_BDHW.is_cuda else _CPU_CHUNK_BYTES
        rows = chunk_bytes // (4 * max(channels, num_words))
        self._chunk_rows = max(rows // BLOCK_ROWS, 1) * BLOCK_ROWS

    def add(self, images: slice, descriptors_BND: torch.Tensor) -> None:
        """Take in descriptors of some images of the batch."""
        for chunk_BND in torch.split(descriptors_BND, self._chunk_rows, dim=1):
            with fixed_products():
                self._add(images, chunk_BND.to(torch.float32))

    def _add(self, images: slice, chunk_BND: torch.Tensor) -> None:
        num_images, num_descriptors, channels = chunk_BND.shape
        chunk_MD = chunk_BND.reshape(-1, channels)
        nearest_M, is_nearest_MK = self._nearest(chunk_MD)
        # By index: as a third matrix product it made VLAD take half as long again.
        residuals_MD = self._words_KD.index_select(0, nearest_M)
        torch.sub(chunk_MD, residuals_MD, out=residuals_MD)
        is_nearest_BNK = is_nearest_MK.view(num_images, num_descriptors, -1)
        residuals_BND = residuals_MD.view(num_images, num_descriptors, channels)
        self._counts_BK[images] += is_nearest_BNK.sum(dim=1).to(torch.int64)
        whole = num_descriptors // BLOCK_ROWS * BLOCK_ROWS
        if whole:
            blocks_PNK = is_nearest_BNK[:, :whole].reshape(-1, BLOCK_ROWS, is_nearest_BNK.shape[2])
            blocks_PND = residuals_BND[:, :whole].reshape(-1, BLOCK_ROWS, channels)
            sums_PKD = torch.bmm(blocks_PNK.transpose(1, 2), blocks_PND)
            sums_BPKD = sums_PKD.view(num_images, -1, *sums_PKD.shape[1:])
            self._sums_BKD[images] += sums_BPKD.sum(dim=1, dtype=torch.float64)
        if whole < num_descriptors:
            self._sums_BKD[images] += torch.bmm(is_nearest_BNK[:, whole:].transpose(1, 2), residuals_BND[:, whole:])

    def vectors(self) -> torch.Tensor:
        """float32 (B, K D): the sums of word 0, of word 1, ..."""
        return self._sums_BKD.flatten(1).to(torch.float32)

    def counts(self) -> torch.Tensor:
        """int32 (B, K): descriptors per word."""
        return self._counts_BK.to(torch.int32)

    def _nearest(self, descriptors_MD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The nearest word of each descriptor int64 (M,), and float32 (M, K): 1 for that word, else 0."""
        scores_MK = torch.addmm(self._offsets_K, descriptors_MD, self._centred_DK)
        lengths_M = torch.linalg.vector_norm(descriptors_MD, dim=1)
        least_M = scores_MK.amax(dim=1) - self._doubt * (self._radius * lengths_M + self._largest_offset)
        is_nearest_MK = torch.ge(scores_MK, least_M[:, None], out=scores_MK)
        # How many words may be the nearest, and which if it is one: on a CPU a tenth of the time of argmax.
        number_M, word_M = (is_nearest_MK @ self._ones_and_places_K2).unbind(dim=1)
        nearest_M = word_M.to(torch.int64)
        (doubtful,) = torch.nonzero(number_M != 1, as_tuple=True)
        for rows in torch.split(doubtful, BLOCK_ROWS):
            distances_MK = torch.cdist(
                descriptors_MD[rows].to(torch.float64),
                self._words_KD.to(torch.float64),
                compute_mode="donot_use_mm_for_euclid_dist",
            )
            nearest_M[rows] = distances_MK.argmin(dim=1)
            is_nearest_MK[rows] = 0
            is_nearest_MK[rows, nearest_M[rows]] = 1
        return nearest_M, is_nearest_MK
