r"""Ranking losses over ragged candidate lists."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch_geometric.utils import scatter

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]  # scores [P], y [P], mention [P] -> scalar


def margin_loss(scores: Tensor, y: Tensor, mention: Tensor, margin: float = 0.25) -> Tensor:
    r"""The loss of DRIN (Section 3.5): every candidate should stay a margin below the answer.

    .. math::
        \frac{1}{M} \sum_m \frac{1}{K_m} \sum_k \max(0, \text{margin} + s_{mk} - s_{m,\text{gold}})

    The answer's own term (a constant) is included, as published, and a mention whose answer is
    not among its candidates contributes with :math:`s_{m,\text{gold}} = 0`: all of its candidates
    are pushed below :math:`-\text{margin}`.

    Args:
        scores: One score per pair, ``[P]``.
        y: Whether the pair is right, bool ``[P]``; an entity that is listed twice counts once,
            with the mean of its scores.
        mention: Mention of each pair, int64 ``[P]``, pairs of a mention in a row.
        margin: The margin, in units of the score.

    Returns:
        A scalar; 0 for an empty batch.
    """
    group, num_mentions = _group(mention)
    gold = scatter(scores[y], group[y], dim_size=num_mentions, reduce='mean')  # [M]
    hinge = (margin + scores - gold[group]).clamp(min=0)                       # [P]
    return _mean(scatter(hinge, group, dim_size=num_mentions, reduce='mean'))


def softmax_loss(scores: Tensor, y: Tensor, mention: Tensor) -> Tensor:
    r"""Cross entropy of the answer against all candidates of its mention.

    .. math::
        -\frac{1}{M} \sum_m \log \frac{\exp s_{m,\text{gold}}}{\sum_k \exp s_{mk}}

    Mentions whose answer is not among their candidates say nothing and are left out.

    Args:
        scores: One score (logit) per pair, ``[P]``.
        y: Whether the pair is right, bool ``[P]``; an entity that is listed twice counts with the
            mean of its scores.
        mention: Mention of each pair, int64 ``[P]``, pairs of a mention in a row.

    Returns:
        A scalar; 0 if no mention has its answer among its candidates.
    """
    group, num_mentions = _group(mention)
    top = scatter(scores.detach(), group, dim_size=num_mentions, reduce='max')          # [M]
    log_sum = top + scatter((scores - top[group]).exp(), group, dim_size=num_mentions).log()
    gold = scatter(scores[y], group[y], dim_size=num_mentions, reduce='mean')           # [M]
    has_gold = scatter(torch.ones_like(group[y]), group[y], dim_size=num_mentions) > 0  # [M]
    return _mean((log_sum - gold)[has_gold])


def counted_mentions(loss: Loss, y: Tensor, mention: Tensor) -> int:
    r"""Over how many mentions a loss is a mean: those that have candidates or, of :func:`softmax_loss`, whose answer is
    among them. Parts of a batch, each weighted with its number, add up to the loss of the batch.

    Args:
        loss: A loss of this module.
        y: As for the losses, ``[P]``.
        mention: As for the losses, ``[P]``.
    """
    return torch.unique_consecutive(mention[y] if loss is softmax_loss else mention).numel()


def _group(mention: Tensor) -> tuple[Tensor, int]:
    """Mention ids to 0..M-1, and M."""
    distinct, group = torch.unique_consecutive(mention, return_inverse=True)
    return group, distinct.numel()


def _mean(x: Tensor) -> Tensor:
    return x.mean() if x.numel() else x.sum()
