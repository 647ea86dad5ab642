import torch
from torch import Tensor

from drin_pyg.graph import pair_of_edge
from drin_pyg.vocabulary import EDGE_TYPES


def pair_weights(batch, trace: list[dict]) -> dict[str, list[Tensor]]:
    r"""Weights of each relation by pair and depth.

    Args:
        batch: The graphs.
        trace: From :meth:`DRIN.trace`.

    Returns:
        Relation name to one tensor ``[P]`` per depth: a mean over edges if there are several images
        (and over the width of vector edges), NaN where a pair has no such edge or the model does
        not compute it.
    """
    num_pairs, result = batch.entity.numel(), {}
    for edge_type in EDGE_TYPES:
        pair = pair_of_edge(batch, edge_type).cpu()
        depths = []
        for weights in trace:
            weight = weights.get(edge_type)
            mean = torch.full((num_pairs, ), torch.nan)
            if weight is not None:
                weight = weight.detach().float().cpu()
                weight = weight.mean(-1) if weight.dim() == 2 else weight
                mean = torch.zeros(num_pairs).index_add_(0, pair, weight) / torch.bincount(pair, minlength=num_pairs)
            depths.append(mean)
        result[edge_type[1]] = depths
    return result
