from dataclasses import replace

import torch

from drin_pyg.features.candidates import Candidates
from drin_pyg.features.pair_tables import PairTables
from drin_pyg.vocabulary import EDGE_TYPES

CHUNK = 2**18  # pairs at once


def weigh_pairs(tables: PairTables, candidates: Candidates) -> Candidates:
    r"""Computes the first weights of all pairs once, so that the batches of many epochs need only pick them.

    A relation with several images on either side keeps its tables: it has no one weight a pair.

    Args:
        tables: Features and first weights.
        candidates: Candidate lists; list ``m`` belongs to mention row ``m`` of ``tables``.

    Returns:
        The same lists with ``weight``.
    """
    weight = dict(candidates.weight)
    mention, entity = candidates.mention, candidates.entity                                   # [P], [P]
    for edge_type in [edge_type for edge_type in EDGE_TYPES if edge_type not in weight]:
        src, _, dst = edge_type
        count = tables.num_rows(src, mention) * tables.num_rows(dst, entity)                  # [P], edges of a pair
        if bool((count > 1).any()):
            continue
        pair = count.nonzero().squeeze(1)                                                     # [P'], those with an edge
        weight[edge_type] = torch.zeros(count.numel(), dtype=tables.weight[edge_type][0].dtype)
        for part in pair.split(CHUNK):
            rows = tables.first_row(src, mention[part]), tables.first_row(dst, entity[part])
            weight[edge_type][part] = tables.first_weight(edge_type, *rows)
    return replace(candidates, weight=weight)
