import itertools

import pytest
import torch

from drin_pyg.evaluation import gold_ranks
from drin_pyg.features import NIL, Candidates

TIES = ['pessimistic', 'optimistic', 'realistic']
INF = float('inf')


def rank_loop(scores, entities, gold, tie):
    """Sorts nothing: counts wrong candidates above and beside the best copy of the answer."""
    copies = [s for s, entity in zip(scores, entities, strict=True) if entity == gold]
    if not copies or gold == NIL:
        return INF
    best = max(copies)
    wrong = [s for s, entity in zip(scores, entities, strict=True) if entity != gold]
    above, equal = sum(s > best for s in wrong), sum(s == best for s in wrong)
    return 1 + above + {'pessimistic': equal, 'optimistic': 0, 'realistic': equal / 2}[tie]


def random_problem(seed):
    """Ragged lists with many ties, answers that are missing or NIL, and entities listed twice."""
    generator = torch.Generator().manual_seed(seed)
    lists, gold = [], []
    for _ in range(60):
        size = int(torch.randint(0, 11, (), generator=generator))
        lists.append(torch.randint(0, 6, (size, ), generator=generator).tolist())
        gold.append(int(torch.randint(-1, 6, (), generator=generator)))
    candidates = Candidates.from_lists(lists, gold)
    scores = torch.randint(0, 6, (candidates.num_pairs, ), generator=generator) / 8
    return scores, candidates, lists, gold


@pytest.mark.parametrize('tie', TIES)
@pytest.mark.parametrize('seed', range(5))
def test_equals_loops(tie, seed):
    scores, candidates, lists, gold = random_problem(seed)
    parts = scores.split([len(entities) for entities in lists])
    expected = [rank_loop(part.tolist(), entities, answer, tie)
                for part, entities, answer in zip(parts, lists, gold, strict=True)]
    assert len(set(expected)) > 4
    assert gold_ranks(scores, candidates, tie).tolist() == expected


def test_realistic_is_the_mean_over_all_orders_of_the_tied():
    scores = torch.tensor([0.5, 0.9, 0.5, 0.5, 0.1])
    places = []
    for order in itertools.permutations(range(5)):
        # A stable sort keeps the drawn order of what is tied; entity 3 is the answer.
        places.append(sorted(order, key=lambda k: -float(scores[k])).index(3) + 1)
    rank = gold_ranks(scores, Candidates.from_lists([[0, 1, 2, 3, 4]], [3]), 'realistic')
    assert float(rank) == sum(places) / len(places)


@pytest.mark.parametrize(('tie', 'rank'), [('pessimistic', 4), ('optimistic', 1), ('realistic', 2.5)])
def test_all_alike(tie, rank):
    assert gold_ranks(torch.zeros(4), Candidates.from_lists([[3, 1, 0, 2]], [1]), tie).tolist() == [rank]


def test_pessimistic_is_the_default():
    candidates = Candidates.from_lists([[0, 1]], [0])
    assert gold_ranks(torch.zeros(2), candidates).equal(gold_ranks(torch.zeros(2), candidates, 'pessimistic'))


@pytest.mark.parametrize('tie', TIES)
def test_another_copy_of_the_answer_is_no_competitor(tie):
    candidates = Candidates.from_lists([[0, 1, 0, 2]], [0])
    assert gold_ranks(torch.tensor([0.2, 0.5, 0.9, 0.1]), candidates, tie).tolist() == [1]
    assert gold_ranks(torch.tensor([0.9, 0.5, 0.9, 0.1]), candidates, tie).tolist() == [1]


@pytest.mark.parametrize('gold', [NIL, 7])
@pytest.mark.parametrize('tie', TIES)
def test_missing_answer_has_no_rank(gold, tie):
    # Not even where every score is minus infinity, which an empty maximum would equal.
    candidates = Candidates.from_lists([[0, 1], []], [gold, gold])
    assert gold_ranks(torch.full((2, ), -INF), candidates, tie).tolist() == [INF, INF]


def test_infinite_scores_rank():
    candidates = Candidates.from_lists([[0, 1, 2], [0, 1, 2]], [0, 2])
    assert gold_ranks(torch.tensor([-INF, 0, -INF, INF, 0, -1]), candidates).tolist() == [3, 3]


def test_half_precision_scores_are_compared_exactly():
    candidates = Candidates.from_lists([[0, 1]], [0])
    scores = torch.tensor([1.0, 1.0078125], dtype=torch.bfloat16)
    assert gold_ranks(scores, candidates).tolist() == [2]
    assert gold_ranks(scores, candidates).dtype == torch.float64


def test_no_mentions():
    assert gold_ranks(torch.empty(0), Candidates.from_lists([], [])).shape == (0, )


def test_nan_is_refused():
    with pytest.raises(ValueError, match='1 of the 2 scores are NaN'):
        gold_ranks(torch.tensor([0.0, float('nan')]), Candidates.from_lists([[0, 1]], [0]))


@pytest.mark.parametrize('scores', [torch.zeros(3), torch.zeros(2, 1), torch.zeros(())])
def test_scores_of_other_pairs_are_refused(scores):
    with pytest.raises(ValueError, match='one number for each of the 2 pairs'):
        gold_ranks(scores, Candidates.from_lists([[0, 1]], [0]))


def test_unknown_tie_rule():
    with pytest.raises(ValueError, match=r"'tie' must be .* got 'fair'"):
        gold_ranks(torch.zeros(2), Candidates.from_lists([[0, 1]], [0]), 'fair')


def test_unknown_answers_are_refused():
    with pytest.raises(ValueError, match="no 'gold' answers"):
        gold_ranks(torch.zeros(2), Candidates.from_lists([[0, 1]]))
