from dataclasses import replace

import torch
from torch import Tensor

from drin_pyg.features.candidates import Candidates
from drin_pyg.features.pair_tables import PairTables
from drin_pyg.features.side_tables import pair_tables, select_mentions, side_tables
from drin_pyg.vocabulary import MENTION_IMAGE, NODE_TYPES


def swap_images(
    tables: PairTables,
    candidates: Candidates,
    mention: Tensor,
    fraction: float,
    seed: int = 0,
) -> PairTables:
    r"""Gives some mentions the images of other mentions, with another answer: images that mislead.

    Which mentions are hit and whose images they get depends on ``seed`` alone, and a smaller fraction hits a part of
    those that a larger one hits, so that results at several fractions can be compared.

    Args:
        tables: Features and first weights.
        candidates: Candidate lists with answers.
        mention: Mentions that may be hit and that give images, int64 ``[B]``: a split.
        fraction: Share of them that is hit, 0 to 1.
        seed: Seed of the draw.

    Returns:
        Tables with other images (features and first weights) of the mentions.

    Raises:
        ValueError: If the fraction is not within 0 to 1, or if first weights of images are given per pair: they would
            still be those of the right image.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"A fraction of the mentions is between 0 and 1, got {fraction}")
    given = [edge_type[1] for edge_type in candidates.weight if edge_type[0] == MENTION_IMAGE]
    if given and fraction > 0:
        raise ValueError(f"First weights of {', '.join(given)} are given per pair, so they cannot follow a swapped "
                         f"image; give the relation's two tables in PairTables instead")
    generator = torch.Generator().manual_seed(seed)
    hit = torch.rand(mention.numel(), generator=generator) < fraction  # [B]
    giver = _others(candidates.gold[mention], generator)               # [B]
    source = torch.arange(tables.num_mentions)
    source[mention[hit]] = mention[giver[hit]]
    side, entities = side_tables(tables)
    other = select_mentions(side, source)
    weight = {edge_type: (other if edge_type[0] == MENTION_IMAGE else side).weight[edge_type]
              for edge_type in side.weight}
    return pair_tables(replace(other, text=side.text, weight=weight), entities, known=NODE_TYPES)


def _others(answer: Tensor, generator: torch.Generator) -> Tensor:
    """For each of the answers ``[B]`` a random place that holds another one; its own if all are the same."""
    place = torch.randint(answer.numel(), answer.shape, generator=generator)
    for _ in range(20):  # each round leaves the share of the most frequent answer, squared: soon nobody
        same = answer[place] == answer
        place[same] = torch.randint(answer.numel(), (int(same.sum()), ), generator=generator)
    return place
