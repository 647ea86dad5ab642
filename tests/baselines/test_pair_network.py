import pytest
import torch

from drin_pyg.baselines import build_baseline, relation_scores
from drin_pyg.baselines.sides import Sides
from drin_pyg.vocabulary import NODE_TYPES
from tests.baselines import reference
from tests.baselines.problems import make_problem


@pytest.fixture(scope='module')
def problem():
    return make_problem()


@torch.no_grad()
def test_starts_at_the_sum_of_the_first_weights(problem):
    mention = torch.arange(problem.candidates.num_mentions)
    fused = relation_scores(problem.tables, problem.candidates, mention).nan_to_num(0.0).sum(-1)
    torch.testing.assert_close(build_baseline('pair_network')(problem.batch()), fused)


@pytest.mark.parametrize('context', ['pair', 'mention'])
def test_means_of_either_side(problem, context):
    sides = Sides(problem.batch(torch.tensor([4, 3, 0]), context=context))
    assert sides.mention.id.tolist() == [0, 3, 4]
    assert sides.entity.id.tolist() == [0, 1, 2, 3, 4, 5, 6]
    for node_type in NODE_TYPES:
        owners = [0, 3, 4] if node_type in NODE_TYPES[:2] else range(7)
        mean, there = sides.mean(node_type)
        for place, owner in enumerate(owners):
            own = reference.rows(problem.tables, node_type, owner)
            assert bool(there[place]) == bool(own)
            torch.testing.assert_close(mean[place], sum(own, torch.zeros(mean.size(1))) / max(len(own), 1))


def test_answers_among_the_distinct_entities(problem):
    sides = Sides(problem.batch())
    found = [None if place < 0 else int(sides.entity.id[place]) for place in sides.answer().tolist()]
    assert found == [1, 3, None, 2, 4]  # mentions 0, 2, 3, 4, 5
