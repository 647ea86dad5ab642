import numpy as np
import pytest
import torch

from drin_pyg.baselines import LogisticFusion, relation_scores, z_score
from drin_pyg.evaluation import gold_ranks
from drin_pyg.features import Candidates
from drin_pyg.graph import pair_graph
from drin_pyg.vocabulary import EDGE_TYPES


def test_relation_scores_are_the_first_weights_of_single_graphs(world):
    mention = torch.arange(world.candidates.num_mentions)
    scores = relation_scores(world.tables, world.candidates, mention)
    assert scores.shape == (world.candidates.num_pairs, 4)
    for p, (m, e) in enumerate(zip(world.candidates.mention.tolist(), world.candidates.entity.tolist(), strict=True)):
        graph = pair_graph(world.tables, m, e)
        for r, edge_type in enumerate(EDGE_TYPES):
            weight = graph[edge_type].edge_weight
            if weight.numel():
                assert float(scores[p, r]) == pytest.approx(float(weight.mean()), abs=1e-5)
            else:
                assert bool(scores[p, r].isnan())


def test_z_score_against_loops():
    lists = Candidates.from_lists([[0, 1, 2], [], [1, 2]], [0, -1, 1])
    scores = torch.tensor([[1.0, 5.0], [2.0, torch.nan], [6.0, 7.0], [3.0, 4.0], [3.0, 8.0]])
    given, expected = scores.numpy(), np.zeros((5, 2))
    for rows in ([0, 1, 2], [3, 4]):
        for r in range(2):
            there = [i for i in rows if not np.isnan(given[i, r])]
            values = given[there, r]
            if values.std() > 0:
                expected[there, r] = (values - values.mean()) / values.std()
    assert z_score(scores, lists).numpy() == pytest.approx(expected, abs=1e-5)


def test_logistic_fusion_finds_the_relation_that_tells():
    generator = torch.Generator().manual_seed(0)
    gold = torch.randint(8, (60, ), generator=generator).tolist()
    lists = Candidates.from_lists([list(range(8))] * 60, gold)
    features = torch.randn(lists.num_pairs, 4, generator=generator)
    features[:, 2] += 2.0 * lists.y
    fusion = LogisticFusion().fit(features, lists)
    assert int(fusion.coefficients.abs().argmax()) == 2
    assert float(fusion.coefficients[2]) > 0
    fused = (gold_ranks(fusion(features), lists) <= 1).float().mean()
    summed = (gold_ranks(features.sum(-1), lists) <= 1).float().mean()
    assert fused > summed
