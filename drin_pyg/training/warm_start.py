import torch
from torch import Tensor

from drin_pyg.features import Candidates, PairTables
from drin_pyg.nn import DRIN, HeteroDRIN
from drin_pyg.vocabulary import ENTITY_IMAGE, ENTITY_TEXT, MENTION_IMAGE, MENTION_TEXT

SHRINKAGE = 1.0  # of the within-pair covariance towards a multiple of the identity


@torch.no_grad()
def warm_start(
    model: DRIN | HeteroDRIN,
    tables: PairTables,
    candidates: Candidates,
    mention: Tensor,
) -> DRIN | HeteroDRIN:
    r"""Starts a model where a closed form already gets: called on training mentions, before training.

    Random projections destroy the cosines that frozen features come with, and a few thousand
    mentions do not bring them back. Here the two projections of a modality start as the whitening
    of what distinguishes a mention from its *own* entity (within-class covariance normalisation,
    as in linear discriminant analysis): directions in which right pairs differ count less. With
    :math:`\boldsymbol{\Sigma}` the covariance of ``mention - answer`` over the training pairs,

    .. math::
        \mathbf{W} = \bigl(\tfrac{1}{2} \boldsymbol{\Sigma} + \lambda \,
        \tfrac{\mathrm{tr} \boldsymbol{\Sigma}}{2F} \mathbf{I}\bigr)^{-1/2},

    turned to its ``hidden_channels`` main directions on the knowledge base, and scaled to unit
    variance. A modality that no training mention shares with its answer (data without pictures) keeps
    its random start.

    Args:
        model: The model; one whose widths are still to be inferred gets those of the tables. Types of vertices
            that the paper does not have are left to :func:`~drin_pyg.nn.start_extra`.
        tables: Features of all mentions and entities; the two sides of a modality share a width.
        candidates: Candidate lists and answers.
        mention: Training mentions, int64 ``[B]``.

    Returns:
        The model itself.

    Raises:
        ValueError: If the two sides of a modality have different widths.
    """
    gold = candidates.gold[mention]
    mention, gold = mention[gold >= 0], gold[gold >= 0]
    for mention_type, entity_type in ((MENTION_TEXT, ENTITY_TEXT), (MENTION_IMAGE, ENTITY_IMAGE)):
        if mention_type not in model.encoders or entity_type not in model.encoders:
            continue
        x, z = tables.x[mention_type], tables.x[entity_type]
        if x.size(1) != z.size(1):
            raise ValueError(f"A warm start compares '{mention_type}' with '{entity_type}', but they are {x.size(1)} "
                             f"and {z.size(1)} wide; use one encoder for both, or train without a warm start")
        has_both = (tables.num_rows(mention_type, mention) > 0) & (tables.num_rows(entity_type, gold) > 0)
        if not bool(has_both.any()):
            continue
        # Of several images, the first stands for all: the covariance needs one difference per pair.
        x = x[tables.first_row(mention_type, mention[has_both])]
        own = z[tables.first_row(entity_type, gold[has_both])]
        projection = _whitening(x, own, z, model.hidden_channels)  # [F, D]
        for node_type, mean in ((mention_type, x.mean(0)), (entity_type, z.mean(0))):
            encoder = model.encoders[node_type]
            if encoder.in_channels < 1:  # to be inferred, so now
                encoder(x[:1])
            encoder.weight.copy_(projection.t())
            encoder.bias.copy_(-mean @ projection)
    return model


def _whitening(x: Tensor, own: Tensor, z: Tensor, width: int) -> Tensor:
    difference = (x - x.mean(0)) - (own - own.mean(0))
    covariance = difference.t() @ difference / (2 * difference.size(0))
    ridge = SHRINKAGE * covariance.trace() / covariance.size(0)
    value, vector = torch.linalg.eigh(covariance + ridge * torch.eye(covariance.size(0), dtype=x.dtype))
    whitening = vector * value.rsqrt() @ vector.t()                                             # [F, F]
    direction = torch.linalg.svd((z - z.mean(0)) @ whitening, full_matrices=False).Vh[:width]   # [<= D, F]
    projection = x.new_zeros(x.size(1), width)
    projection[:, :direction.size(0)] = whitening @ direction.t()
    scale = ((z - z.mean(0)) @ projection).square().mean().sqrt()
    return projection / scale
