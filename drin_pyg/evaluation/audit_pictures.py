r"""Which pictures are the same, pixel by pixel or to the eye."""

import hashlib
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from multiprocessing import get_context

import numpy as np
from tqdm import tqdm

from drin_pyg.datasets import Entity, Mention, Picture, PictureError

BITS = 64  # of a perceptual hash


@dataclass(frozen=True)
class Fingerprints:
    r"""What is kept of each picture that was opened: 32 bytes for its pixels, 8 for its looks.

    Args:
        pixels: Picture to the SHA-256 of its size and RGB pixels; only those that could be opened.
        looks: Picture to its 64-bit perceptual hash. A picture of one colour has none: all such
            pictures would look alike.
        near: Perceptual hash to the others that differ in ``distance`` bits at most.
        distance: See :func:`fingerprint`; None if looks were not compared.
        num_unusable: Pictures that could not be opened.
    """

    pixels: dict[Picture, bytes] = field(default_factory=dict)
    looks: dict[Picture, int] = field(default_factory=dict)
    near: dict[int, set[int]] = field(default_factory=dict)
    distance: int | None = None
    num_unusable: int = 0

    def pixels_of(self, record: Mention | Entity) -> set[bytes]:
        """The pixels of its pictures."""
        return {self.pixels[picture] for picture in record.pictures if picture in self.pixels}

    def looks_of(self, record: Mention | Entity) -> set[int]:
        """The perceptual hashes of its pictures."""
        return {self.looks[picture] for picture in record.pictures if picture in self.looks}

    def alike(self, looks: Iterable[int]) -> set[int]:
        """Perceptual hashes, and all that are near one of them."""
        looks = set(looks)
        return looks.union(*(self.near[look] for look in looks if look in self.near))


def fingerprint(
    pictures: Iterable[Picture],
    distance: int | None = 4,
    *,
    workers: int = 1,
    progress: bool = False,
) -> Fingerprints:
    r"""Opens pictures, one at a time for each worker, and says which are the same.

    The perceptual hash is ``imagehash.phash``: the signs of the 64 lowest frequencies of the grey
    picture. It survives another size, format or compression; drawings of one layout may have it in
    common, so what is near is a hint, and what has the same pixels is a fact.

    Args:
        pictures: The pictures; each is opened once, however often it is named.
        distance: Bits out of 64 that the hashes of pictures which look alike may differ in; None
            for pixels alone.
        workers: Processes that open pictures.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: If ``distance`` is not from 0 to 63.
        ImportError: If ImageHash is not installed and ``distance`` is not None.
    """
    pictures = list(dict.fromkeys(pictures))
    if distance is not None:
        if not 0 <= distance < BITS:
            raise ValueError(f"'distance' is a number of bits from 0 to {BITS - 1}, got {distance}")
        if pictures:
            _check_library()
    one = partial(_fingerprint, with_looks=distance is not None)
    bar = {'desc': 'Pictures', 'total': len(pictures), 'disable': not progress, 'leave': False}
    if workers > 1 and len(pictures) > 256:  # a process takes seconds to start
        with ProcessPoolExecutor(workers, mp_context=get_context('spawn')) as pool:
            found = list(tqdm(pool.map(one, pictures, chunksize=64), **bar))
    else:
        found = list(tqdm(map(one, pictures), **bar))
    prints = dict(zip(pictures, found, strict=True))
    looks = {picture: look for picture, (_, look) in prints.items() if look is not None}
    values = np.unique(np.fromiter(looks.values(), np.uint64, len(looks)))  # [H]
    near: dict[int, set[int]] = {}
    for a, b in near_pairs(values, distance or 0).tolist():
        near.setdefault(a, set()).add(b)
        near.setdefault(b, set()).add(a)
    pixels = {picture: digest for picture, (digest, _) in prints.items() if digest is not None}
    return Fingerprints(pixels, looks, near, distance, len(pictures) - len(pixels))


def near_pairs(values: np.ndarray, distance: int) -> np.ndarray:
    r"""All pairs of hashes that differ in few bits.

    Hashes that differ in ``distance`` bits are equal in one of any ``distance + 1`` blocks of bits.
    So for each block they are sorted by it, and only neighbours with equal blocks are compared: all
    with the next, then those still equal with the next but one, and so on. Of a million spread-out
    hashes and 5 blocks each is compared with some hundreds, and memory stays linear.

    Args:
        values: Distinct hashes, uint64 ``[H]``.
        distance: Bits that may differ.

    Returns:
        uint64 ``[K, 2]``, each pair once, the smaller first.
    """
    edges = np.linspace(0, BITS, distance + 2).astype(int)
    found = [np.empty((0, 2), np.uint64)]
    for start, end in pairwise(edges):
        block = (values >> np.uint64(start)) & np.uint64(2 ** int(end - start) - 1)  # [H]
        order = np.argsort(block, kind='stable')
        block, ordered = block[order], values[order]
        rows, step = np.arange(len(values)), 1
        while len(rows := rows[rows + step < len(values)]):
            rows = rows[block[rows] == block[rows + step]]
            pair = np.stack([ordered[rows], ordered[rows + step]], axis=1)  # [R, 2]
            found.append(np.sort(pair[np.bitwise_count(pair[:, 0] ^ pair[:, 1]) <= distance], axis=1))
            step += 1
    return np.unique(np.concatenate(found), axis=0)


def _check_library() -> None:
    try:
        import imagehash  # noqa: F401
    except ImportError as error:
        raise ImportError("To see which pictures look alike, install ImageHash (`pip install drin_pyg[image]`), or "
                          "compare pixels alone (`--no-near`)") from error


def _fingerprint(picture: Picture, with_looks: bool) -> tuple[bytes | None, int | None]:
    try:
        image = picture.open()
    except PictureError:
        return None, None
    digest = hashlib.sha256(f'{image.size}'.encode() + image.tobytes()).digest()
    if not with_looks or all(low == high for low, high in image.getextrema()):
        return digest, None
    from imagehash import phash

    return digest, int.from_bytes(np.packbits(phash(image).hash).tobytes(), 'big')
