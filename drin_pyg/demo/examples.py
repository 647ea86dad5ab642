r"""What a trained model did on single mentions, for a person to look at."""

import torch
from torch import Tensor

from drin_pyg.demo.results import Candidate, EdgeWeights, Example
from drin_pyg.evaluation import gold_ranks, pair_weights
from drin_pyg.features import MELData
from drin_pyg.graph import CandidateLoader, forward_args
from drin_pyg.nn import DRIN

SHOWN = 8  # candidates of an example


@torch.inference_mode()
def _score(model: DRIN, data: MELData, mention: Tensor) -> tuple[Tensor, dict[str, list[Tensor]]]:
    """Scores ``[P]``, and weights by relation and depth ``[P]``."""
    scores, weights = [], []
    for batch in CandidateLoader(data.tables, data.candidates, mention, max_pairs=8192):
        score, trace = model.trace(**forward_args(batch))
        scores.append(score)
        weights.append(pair_weights(batch, trace))
    joined = {
        name: [torch.cat([part[name][depth] for part in weights]) for depth in range(len(depths))]
        for name, depths in weights[0].items()
    }
    return torch.cat(scores), joined


def edge_weights(model: DRIN, data: MELData, mention: Tensor) -> list[EdgeWeights]:
    r"""Distribution of every relation's weight at every depth over the pairs of the given mentions."""
    _, weights = _score(model, data, mention)
    y = data.candidates.select(mention).y
    result = []
    for name, depths in weights.items():
        for depth, weight in enumerate(depths):
            there = ~weight.isnan()
            if bool(there.any()):
                result.append(EdgeWeights(name, depth, weight[there & y].numpy(), weight[there & ~y].numpy()))
    return result


def examples(model: DRIN, data: MELData, mention: Tensor, right: int = 8, wrong: int = 4) -> list[Example]:
    r"""A seeded choice of mentions that the model got right and wrong, with their ranked candidates."""
    scores, weights = _score(model, data, mention)
    lists = data.candidates.select(mention)
    rank = gold_ranks(scores, lists)
    order = torch.randperm(mention.numel(), generator=torch.Generator().manual_seed(0))
    chosen = [*order[rank[order] == 1][:right].tolist(), *order[rank[order] > 1][:wrong].tolist()]
    result = []
    for i in chosen:
        pairs = torch.arange(int(lists.ptr[i]), int(lists.ptr[i + 1]))
        pairs = pairs[torch.argsort(scores[pairs], descending=True, stable=True)]
        probability = torch.softmax(scores[pairs], 0)
        shown = [place for place in range(pairs.numel()) if place < SHOWN or bool(lists.y[pairs[place]])]
        candidates = [
            Candidate(data.entities[int(lists.entity[pairs[place]])], float(scores[pairs[place]]),
                      float(probability[place]), bool(lists.y[pairs[place]]),
                      {name: [float(depth[pairs[place]]) for depth in depths] for name, depths in weights.items()})
            for place in shown
        ]
        result.append(Example(data.mentions[int(mention[i])], int(rank[i]), candidates))
    return result
