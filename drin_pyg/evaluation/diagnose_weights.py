r"""What one number per pair says about mentions: variance by source, gold against the rest, order."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.utils import scatter

from drin_pyg.features import Candidates

BINS = 40
TAIL = 0.005  # share of the right or wrong pairs' weights on either side that a histogram gathers in its outermost bins


@dataclass(frozen=True)
class WeightStatistics:
    r"""One relation's weight at one depth, over the pairs that have such an edge.

    Args:
        relation: Name of the relation.
        depth: 0 for the weights that enter layer 1, ``l`` for those that leave layer ``l``.
        num_pairs: Pairs with such an edge, ``P'``.
        mean: Mean weight.
        variance: Variance over all pairs; the sum of the next two.
        between: Variance of the mentions' means, each counted by its pairs.
        within: Variance of the weights around their mention's mean.
        gold_mean: Mean weight of the right pairs; NaN if there is none.
        rest_mean: The same of the wrong pairs.
        auc: Probability that the gold's weight exceeds that of a wrong candidate of the same mention
            (ties count half), mean over mentions; NaN if no mention has both.
        auc_error: Its standard error over mentions.
        auc_mentions: Mentions that have both.
        saturated: Share of the edges' weights where the sigmoid has lost its gradient; NaN where the
            weight is no output of one.
        bins: Edges of a histogram, ``[B + 1]``; the outermost bins take in the tails.
        gold_counts: Right pairs in each bin, ``[B]``.
        rest_counts: Wrong pairs in each bin, ``[B]``.
    """

    relation: str
    depth: int
    num_pairs: int
    mean: float
    variance: float
    between: float
    within: float
    gold_mean: float
    rest_mean: float
    auc: float
    auc_error: float
    auc_mentions: int
    saturated: float
    bins: list[float]
    gold_counts: list[int]
    rest_counts: list[int]


def weight_statistics(relation: str, depth: int, weight: Tensor, lists: Candidates,
                      saturated: float = math.nan) -> WeightStatistics | None:
    r"""Statistics of one weight per pair.

    Args:
        relation: Name of the relation.
        depth: Depth of the weight.
        weight: ``[P]``, NaN where a pair has no such edge.
        lists: The candidate lists the pairs are of, with ``gold``.
        saturated: Share of saturated edge weights.

    Returns:
        The statistics; None if no pair has such an edge.
    """
    there = ~weight.isnan()
    if not bool(there.any()):
        return None
    value, mention, y = weight[there].double(), lists.mention[there], lists.y[there]  # [P'] each
    own = value - deviation(value, mention)                                           # [P'], mean of the mention
    auc = gold_auc(weight, lists)
    # Of each kind by itself: there are so few right pairs that all of them could lie in the tail of both.
    tail = torch.tensor([TAIL, 1 - TAIL], dtype=value.dtype)
    kinds = [kind for kind in (value[y], value[~y]) if kind.numel()]
    ends = torch.stack([torch.quantile(_some(kind), tail) for kind in kinds])         # [1 or 2, 2]
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    if high - low < 1e-6:  # all alike; a histogram still needs a width
        low, high = low - 0.5e-6, high + 0.5e-6
    bins = torch.linspace(low, high, BINS + 1, dtype=value.dtype)
    place = (torch.bucketize(value, bins) - 1).clamp(0, BINS - 1)                     # [P']
    return WeightStatistics(
        relation, depth, value.numel(), float(value.mean()), float(value.var(unbiased=False)),
        float(own.var(unbiased=False)), float((value - own).square().mean()), float(value[y].mean()),
        float(value[~y].mean()), *mean_and_error(auc), auc.numel(), saturated, bins.tolist(),
        torch.bincount(place[y], minlength=BINS).tolist(), torch.bincount(place[~y], minlength=BINS).tolist())


def deviation(value: Tensor, mention: Tensor) -> Tensor:
    r"""How far each value ``[P]`` is from the mean of its ``mention`` ``[P]``."""
    return value - scatter(value, mention, dim_size=int(mention.max()) + 1, reduce='mean')[mention]


def gold_auc(weight: Tensor, lists: Candidates) -> Tensor:
    r"""For each mention that has a right and a wrong pair with this edge, the share of the wrong ones whose weight
    is below the right one's (ties count half; an answer listed twice counts by its mean), float64 ``[M']``."""
    there, size = ~weight.isnan(), lists.num_mentions
    value, mention, y = weight[there].double(), lists.mention[there], lists.y[there]
    gold = scatter(value[y], mention[y], dim_size=size, reduce='mean')                 # [M]
    wrong, place = value[~y], mention[~y]
    below = (wrong < gold[place]).double() + (wrong == gold[place]).double() / 2
    both = torch.bincount(mention[y], minlength=size).bool() & torch.bincount(place, minlength=size).bool()
    return scatter(below, place, dim_size=size, reduce='mean')[both]


def order_correlation(before: Tensor, after: Tensor, lists: Candidates) -> Tensor:
    r"""Spearman's correlation of two weights over the candidates of each mention.

    Args:
        before: ``[P]``, NaN where a pair has no such edge.
        after: ``[P]``, likewise.
        lists: The candidate lists.

    Returns:
        float64 ``[M']``, of the mentions that have three such pairs at least and whose weights are not
        all alike (of fewer, the correlation says nothing).
    """
    there = ~before.isnan() & ~after.isnan()
    if not bool(there.any()):
        return torch.empty(0, dtype=torch.double)
    mention, size = lists.mention[there], lists.num_mentions
    a, b = (deviation(_ranks(weight[there], mention), mention) for weight in (before, after))  # [P'] each
    product, square_a, square_b = (scatter(x, mention, dim_size=size) for x in (a * b, a * a, b * b))
    usable = (torch.bincount(mention, minlength=size) >= 3) & (square_a > 0) & (square_b > 0)
    return (product / (square_a * square_b).sqrt())[usable]


def mean_and_error(value: Tensor) -> tuple[float, float]:
    r"""Mean over mentions and its standard error; NaN of none."""
    if value.numel() == 0:
        return math.nan, math.nan
    value = value.double()
    return float(value.mean()), float(value.std(unbiased=False)) / value.numel()**0.5


def _ranks(weight: Tensor, mention: Tensor) -> Tensor:
    """Ranks within each mention, ties averaged, up to a constant of the mention, ``[P]``."""
    from scipy.stats import rankdata

    distinct, code = torch.unique(weight, return_inverse=True)
    return torch.from_numpy(rankdata((mention * distinct.numel() + code).numpy()))


def _some(value: Tensor, most: int = 2**20) -> Tensor:
    """Evenly spread values, as many as ``torch.quantile`` takes."""
    return value[::math.ceil(value.numel() / most)]
