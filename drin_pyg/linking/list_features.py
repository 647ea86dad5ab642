r"""Scored candidate lists, seen as a whole."""

import torch
from torch import Tensor
from torch_geometric.utils import to_dense_batch

from drin_pyg.features import Candidates


def padded(values: Tensor, candidates: Candidates, fill: float) -> Tensor:
    r"""Values ``[P]`` as one row a mention, ``[M, K]`` with ``K`` the longest list, and two at least."""
    width = max([2, *candidates.counts.tolist()])
    return to_dense_batch(values, candidates.mention, fill, width, candidates.num_mentions)[0]


def first_is_right(scores: Tensor, candidates: Candidates) -> Tensor:
    r"""Whether the best-scored candidate of each list (of equal ones, the first) is the answer, bool ``[M]``."""
    first = padded(scores, candidates, -torch.inf).argmax(1, keepdim=True)
    return padded(candidates.y, candidates, False).gather(1, first).squeeze(1)


def list_features(scores: Tensor, candidates: Candidates) -> Tensor:
    r"""What tells whether the best-scored candidate of a list is right.

    Args:
        scores: Scores ``[P]``, of the scale of logits.
        candidates: The lists of ``M`` mentions.

    Returns:
        float64 ``[M, 4]``: the best score, its margin to the second, its softmax probability, and the
        entropy of the softmax. NaN where there is nothing to tell: the last three of a list of one,
        all of an empty list.
    """
    rows = padded(scores.double(), candidates, -torch.inf)
    best = rows.topk(2, dim=1).values
    log_probability = rows.log_softmax(1)
    probability = log_probability.exp()
    entropy = -(probability * log_probability.masked_fill(probability == 0, 0.0)).sum(1)
    x = torch.stack([best[:, 0], best[:, 0] - best[:, 1], probability.amax(1), entropy], dim=1)
    x[candidates.counts < 2, 1:] = torch.nan
    x[candidates.counts < 1] = torch.nan
    return x
