r"""First edge weights as inner products of two tables, which is how the graph builders want them."""

import torch
import torch.nn.functional as F
from torch import Tensor


def cosine_tables(mention: Tensor, entity: Tensor) -> tuple[Tensor, Tensor]:
    r"""Tables whose inner products are the cosines of the rows.

    DRIN's text-text weight (BERT), and its text-image and image-text weights (CLIP): Section 3.3.
    A row of zeros has cosine 0 with everything.

    Args:
        mention: ``[N, D]``.
        entity: ``[R, D]``.
    """
    return F.normalize(mention, dim=-1, eps=1e-12), F.normalize(entity, dim=-1, eps=1e-12)


def object_similarity(
    mention_objects: Tensor,
    mention_scores: Tensor,
    entity_objects: Tensor,
    entity_scores: Tensor,
) -> Tensor:
    r"""DRIN's image-image weight (Section 3.3): the cosines of the objects detected in two images,
    weighted by the detector's confidence in both.

    .. math::
        \frac{\sum_{ij} s_i s_j \cos(\mathbf{o}_i, \mathbf{o}_j)}{\sum_{ij} s_i s_j + 10^{-9}}

    The double sum factors into the inner product of :math:`\sum_i s_i \mathbf{o}_i / \|\mathbf{o}_i\|`
    of either side. An image in which nothing was detected (all scores 0) has weight 0.

    Args:
        mention_objects: Features of the objects of ``P`` mention images, ``[P, O, F]``.
        mention_scores: Detection scores in 0..1, ``[P, O]``; 0 is padding.
        entity_objects: Features of the objects of ``P`` entity images, ``[P, Q, F]``.
        entity_scores: Detection scores, ``[P, Q]``.

    Returns:
        ``[P]``.
    """
    mention = (mention_scores.unsqueeze(-1) * F.normalize(mention_objects, dim=-1, eps=1e-12)).sum(1)  # [P, F]
    entity = (entity_scores.unsqueeze(-1) * F.normalize(entity_objects, dim=-1, eps=1e-12)).sum(1)     # [P, F]
    total = mention_scores.sum(1) * entity_scores.sum(1)                                               # [P]
    return (mention * entity).sum(-1) / (total + 1e-9)


def object_table(objects: Tensor, scores: Tensor) -> Tensor:
    r"""One side of :func:`object_similarity`, as a table whose inner products are its values.

    .. math::
        \frac{\sum_i s_i \mathbf{o}_i / \|\mathbf{o}_i\|}{\sum_i s_i}

    Without the :math:`10^{-9}` of the original denominator, which changes a weight by a relative
    :math:`10^{-9} / \sum_{ij} s_i s_j`. An image in which nothing was detected is a row of zeros.

    Args:
        objects: Features of the objects of ``I`` images, ``[I, O, F]``.
        scores: Detection scores in 0..1, ``[I, O]``; 0 is padding.

    Returns:
        ``[I, F]``.
    """
    total = scores.sum(1, keepdim=True)                                              # [I, 1]
    share = torch.where(total > 0, scores / total.clamp(min=1e-12), 0)               # [I, O]
    return (share.unsqueeze(-1) * F.normalize(objects, dim=-1, eps=1e-12)).sum(1)    # [I, F]


def no_weight_tables(num_mentions: int, num_entities: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    r"""Tables of a relation whose first weights are given per pair instead (or are 0)."""
    return torch.zeros(num_mentions, 1, dtype=dtype), torch.zeros(num_entities, 1, dtype=dtype)
