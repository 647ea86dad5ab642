from typing import Literal

import torch
from torch import Tensor

from drin_pyg.features import Candidates

Tie = Literal['pessimistic', 'optimistic', 'realistic']


def gold_ranks(scores: Tensor, candidates: Candidates, tie: Tie = 'pessimistic') -> Tensor:
    r"""Rank of each mention's answer among its candidates, 1 is best.

    Ties are broken by a named rule. With :math:`g` the answer's score, :math:`a` wrong candidates
    above it and :math:`b` wrong candidates equal to it, the rank is

    * ``"pessimistic"``: :math:`1 + a + b`. A model that scores everything alike earns nothing.
    * ``"optimistic"``: :math:`1 + a`. This is the published evaluation's rule.
    * ``"realistic"``: :math:`1 + a + b / 2`, the expected rank if ties are broken at random.

    Args:
        scores: One score per pair, ``[P]``, higher is better.
        candidates: The candidate lists, with ``gold``.
        tie: The rule.

    Returns:
        float64 ``[M]``; infinity where the answer is not among the candidates (or is NIL).

    Raises:
        ValueError: If the scores do not belong to these candidates or contain NaN.

    Example:
        >>> lists = Candidates.from_lists([[0, 1, 2], [3, 4], [5]], gold=[1, 3, 0])
        >>> scores = torch.tensor([0.1, 0.9, 0.3, 0.5, 0.5, 1.0])
        >>> gold_ranks(scores, lists)  # first; second of two equals; not there
        tensor([1., 2., inf], dtype=torch.float64)
    """
    if tie not in ('pessimistic', 'optimistic', 'realistic'):
        raise ValueError(f"'tie' must be 'pessimistic', 'optimistic' or 'realistic', got {tie!r}")
    if scores.dim() != 1 or scores.numel() != candidates.num_pairs:
        raise ValueError(f"'scores' must have one number for each of the {candidates.num_pairs} pairs, got "
                         f"{list(scores.shape)}")
    if bool(scores.isnan().any()):
        raise ValueError(f"{int(scores.isnan().sum())} of the {scores.numel()} scores are NaN; a rank among them "
                         f"means nothing")
    y, mention, num_mentions = candidates.y, candidates.mention, candidates.num_mentions
    scores = scores.double()
    # An entity listed twice is one answer: its best copy counts, the other is not a competitor.
    gold = scores.new_full((num_mentions, ), -torch.inf).scatter_reduce_(0, mention[y], scores[y], 'amax')  # [M]
    found = torch.zeros(num_mentions, dtype=torch.bool).index_fill_(0, mention[y], True)                    # [M]

    wrong, gold_of_pair = ~y, gold[mention]  # [P], [P]
    above = scores.new_zeros(num_mentions).index_add_(0, mention, (wrong & (scores > gold_of_pair)).double())
    equal = scores.new_zeros(num_mentions).index_add_(0, mention, (wrong & (scores == gold_of_pair)).double())
    rank = 1 + above + {'pessimistic': 1.0, 'realistic': 0.5, 'optimistic': 0.0}[tie] * equal
    return rank.masked_fill(~found, torch.inf)
