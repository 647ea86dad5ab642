r"""A split in which no two parts share a sentence, a picture or an answer."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from drin_pyg.datasets import Mention
from drin_pyg.evaluation.audit_keys import KINDS, OF_PICTURES, keys_of
from drin_pyg.evaluation.audit_pictures import Fingerprints, fingerprint

BIND = ('sentence', 'image', 'answer')
NUM_DRAWS = 32


def leak_free_split(
    mentions: Sequence[Mention],
    fractions: tuple[float, float] = (0.1, 0.1),
    *,
    bind: Sequence[str] = BIND,
    seed: int = 0,
    prints: Fingerprints | None = None,
    distance: int = 4,
    workers: int = 1,
    progress: bool = False,
) -> list[Mention]:
    r"""Divides mentions into ``"train"``, ``"val"`` and ``"test"`` so that what is bound is never divided.

    Mentions that share something of a bound kind, directly or through others, are one group
    (:func:`leak_groups`), and groups are drawn (:func:`split_groups`).

    Args:
        mentions: The mentions; what split they had is forgotten.
        fractions: Of the mentions, for ``"val"`` and ``"test"``; 0 for none.
        bind: Kinds that must not be divided, of :data:`KINDS`.
        seed: Seed of the draw.
        prints: Fingerprints of the mentions' pictures; None to open the pictures here, if ``bind``
            needs them.
        distance: Where ``bind`` has ``"near_image"``: see :func:`fingerprint`.
        workers: Processes that open pictures.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: If a kind is unknown, or the fractions cannot be had; with the remedy.
    """
    check_request(fractions, bind)
    if prints is None:
        seeing = set(bind) & set(OF_PICTURES)
        opened = [picture for mention in mentions for picture in mention.pictures] if seeing else []
        prints = fingerprint(opened, distance if 'near_image' in bind else None, workers=workers, progress=progress)
    return split_groups(mentions, leak_groups(mentions, bind, prints), fractions, seed)


def leak_groups(mentions: Sequence[Mention], bind: Sequence[str], prints: Fingerprints) -> np.ndarray:
    r"""Groups of mentions that hang together: connected components over what they share.

    Args:
        mentions: The mentions.
        bind: Kinds that connect them, of :data:`KINDS`.
        prints: Fingerprints of their pictures.

    Returns:
        int64 ``[M]``: the group of each mention, numbered from 0.

    Raises:
        ValueError: If a kind is unknown, or pictures that look alike are to bind and were not compared.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if 'near_image' in bind and prints.distance is None:
        raise ValueError("'near_image' binds pictures that look alike; fingerprint them with a 'distance'")
    # Mentions and keys are the vertices of one graph, so that a key of many mentions costs an edge each, not a square.
    vertex: dict[tuple, int] = {}
    edges = []
    for kind in bind:
        for row, mention in enumerate(mentions):
            for key in keys_of(mention, kind, prints):
                edges.append((row, len(mentions) + vertex.setdefault((kind, key), len(vertex))))
    for kind, key in list(vertex):
        if kind == 'near_image':
            ends = (vertex.get((kind, look)) for look in prints.alike([key]))  # an entity's picture is no vertex
            edges += [(len(mentions) + vertex[kind, key], len(mentions) + end) for end in ends if end is not None]
    size = len(mentions) + len(vertex)
    start, end = np.array(edges, dtype=np.int64).reshape(-1, 2).T  # [E], [E]
    graph = coo_array((np.ones(len(start), dtype=bool), (start, end)), shape=(size, size))
    _, label = connected_components(graph.tocsr(), directed=False)
    return np.unique(label[:len(mentions)], return_inverse=True)[1]


def split_groups(
    mentions: Sequence[Mention],
    groups: np.ndarray,
    fractions: tuple[float, float] = (0.1, 0.1),
    seed: int = 0,
) -> list[Mention]:
    r"""Divides mentions into ``"train"``, ``"val"`` and ``"test"`` by whole groups.

    :class:`sklearn.model_selection.GroupShuffleSplit` draws a share of the *groups*; of several
    draws the one is taken whose share of the *mentions* is nearest. Large groups stay in
    ``"train"``: groups of more than a tenth of the share that is wanted are drawn only where the
    smaller ones do not make it up.

    Args:
        mentions: The mentions.
        groups: The group of each, int64 ``[M]``.
        fractions: Of the mentions, for ``"val"`` and ``"test"``; 0 for none.
        seed: Seed of the draws.

    Raises:
        ValueError: If the fractions are not 0 or more and together less than 1, or there are too
            few groups.
    """
    val, test = fractions
    check_request(fractions)
    count, parts = np.unique(groups).size, 1 + (val > 0) + (test > 0)
    if count < parts:
        raise ValueError(f"{len(mentions)} mentions hang together in {count} groups, too few for {parts} splits; bind "
                         f"fewer kinds")
    split = np.full(len(mentions), 'train', dtype='<U5')  # [M]
    for name, fraction, reserved in (('test', test, 1 + (val > 0)), ('val', val, 1)):
        if fraction:
            rest = np.flatnonzero(split == 'train')
            split[rest[_draw(groups[rest], fraction * len(mentions), reserved, seed)]] = name
    return [replace(mention, split=str(name)) for mention, name in zip(mentions, split, strict=True)]


def check_request(fractions: tuple[float, float], bind: Sequence[str] = ()) -> None:
    r"""Refuses what no split can have (see :func:`leak_free_split`), before any picture is opened."""
    val, test = fractions
    if not (val >= 0 and test >= 0 and val + test < 1):
        raise ValueError(f"Fractions for 'val' and 'test' must be 0 or more and leave some mentions for 'train', got "
                         f"{val:g} and {test:g}")
    if unknown := sorted(set(bind) - set(KINDS)):
        raise ValueError(f"Unknown kind '{unknown[0]}'; known are {', '.join(KINDS)}")


def split_figures(mentions: Sequence[Mention], groups: np.ndarray) -> dict:
    r"""What came of a split: ``mentions`` (split name to count), the number of ``groups``, ``largest`` (the share of
    all mentions that the largest group holds) and ``largest_in`` (its split)."""
    sizes = np.bincount(groups)
    return {'mentions': dict(Counter(mention.split for mention in mentions)),
            'groups': sizes.size,
            'largest': float(sizes.max() / len(groups)),
            'largest_in': mentions[int(np.argmax(groups == sizes.argmax()))].split}


def format_split(figures: dict, fractions: tuple[float, float]) -> str:
    r"""The figures of :func:`split_figures` in words, against the fractions that were asked for."""
    total = sum(figures['mentions'].values())
    counts = ', '.join(f'{name} {count:,} ({count / total:.1%})' for name, count in figures['mentions'].items())
    text = f"{total:,} mentions in {figures['groups']:,} groups: {counts}. The largest group holds " \
           f"{figures['largest']:.1%} and is in {figures['largest_in']}."
    if figures['largest'] > max(fractions):
        text += " That is more than a share that was asked for, so it shapes the split; fewer kinds (--bind) make " \
                "smaller groups."
    return text


def _draw(groups: np.ndarray, wanted: float, reserved: int, seed: int) -> np.ndarray:
    """Rows ``[R]`` of whole groups, about ``wanted`` of them, leaving ``reserved`` groups at least."""
    from sklearn.model_selection import GroupShuffleSplit

    names, sizes = np.unique(groups, return_counts=True)  # [G]
    # A part that is one large group says little about others: small ones are enough, or not too large ones, or any.
    for largest in (wanted / 10, wanted, len(groups)):
        small = names[sizes <= largest]
        rows = np.flatnonzero(np.isin(groups, small))
        if rows.size >= wanted:
            break
    most = min(small.size, names.size - reserved)
    size = min(max(1, round(wanted / rows.size * small.size)), most)
    if size == small.size:
        return rows
    draws = GroupShuffleSplit(NUM_DRAWS, test_size=size, random_state=seed).split(rows, groups=groups[rows])
    return rows[min((drawn for _, drawn in draws), key=lambda drawn: abs(drawn.size - wanted))]
