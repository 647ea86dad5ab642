"""Ranks and metrics of any scores and lists, against a loop that counts."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from drin_pyg.evaluation import evaluate_scores, gold_ranks, rank_metrics
from drin_pyg.features import Candidates

number = st.one_of(st.sampled_from([0.0, -0.0, 1.0, -1e30, 1e30, 1e-45, math.inf, -math.inf]),
                   st.floats(-10, 10, width=32))


@st.composite
def scored(draw):
    """Lists with entities that repeat, their answers, and a score a pair."""
    lists = draw(st.lists(st.lists(st.integers(0, 4), max_size=6), max_size=5))
    gold = draw(st.lists(st.integers(-1, 5), min_size=len(lists), max_size=len(lists)))
    pairs = sum(map(len, lists))
    return lists, gold, draw(st.lists(number, min_size=pairs, max_size=pairs))


def slow_rank(entities, scores, answer, tie):
    own = [score for entity, score in zip(entities, scores, strict=True) if entity == answer]
    if not own:
        return math.inf
    others = [score for entity, score in zip(entities, scores, strict=True) if entity != answer]
    above, equal = (sum(test(score) for score in others) for test in (lambda s: s > max(own), lambda s: s == max(own)))
    return 1 + above + {'pessimistic': equal, 'optimistic': 0, 'realistic': equal / 2}[tie]


@given(scored(), st.sampled_from(['pessimistic', 'optimistic', 'realistic']))
def test_equal_to_counting(case, tie):
    lists, gold, values = case
    candidates, scores = Candidates.from_lists(lists, gold), torch.tensor(values)
    rank = gold_ranks(scores, candidates, tie)
    start, expected = 0, []
    for entities, answer in zip(lists, gold, strict=True):
        own = scores[start:start + len(entities)].tolist()
        expected.append(slow_rank(entities, own, answer, tie))
        start += len(entities)
    assert rank.tolist() == expected
    if not lists:
        with pytest.raises(ValueError, match='no mentions'):
            rank_metrics(rank)
        return
    metrics = evaluate_scores(scores, candidates, tie)
    found = [r for r in expected if r < math.inf]
    assert metrics.recall == pytest.approx(len(found) / len(lists))
    assert metrics.mrr == pytest.approx(sum(1 / r for r in expected) / len(lists))
    for k, hit in metrics.hits.items():
        assert hit == pytest.approx(sum(r <= k for r in expected) / len(lists))
    if found:
        assert metrics.mean_rank == pytest.approx(sum(found) / len(found))
        assert metrics.conditional_mrr == pytest.approx(sum(1 / r for r in found) / len(found))
    else:
        assert math.isnan(metrics.mean_rank)
    assert str(len(lists)) in metrics.format()


@given(scored(), st.integers(0, 20))
def test_what_is_no_score_is_refused(case, place):
    lists, gold, values = case
    candidates = Candidates.from_lists(lists, gold)
    with pytest.raises(ValueError, match='one number for each'):
        gold_ranks(torch.tensor([*values, 0.0]), candidates)
    if values:
        values[place % len(values)] = math.nan
        with pytest.raises(ValueError, match='NaN'):
            gold_ranks(torch.tensor(values), candidates)
