import json
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import label_ranking_average_precision_score, top_k_accuracy_score

from drin_pyg.evaluation import evaluate_scores, gold_ranks, rank_metrics
from drin_pyg.features import Candidates
from tests.evaluation.test_ranks import TIES, random_problem

INF = float('inf')


def metrics_loop(ranks, ks):
    found = [r for r in ranks if r < INF]
    return {
        'recall': len(found) / len(ranks),
        'hits': {k: sum(r <= k for r in ranks) / len(ranks) for k in ks},
        'conditional_hits': {k: sum(r <= k for r in found) / len(found) for k in ks},
        'mrr': sum(1 / r for r in found) / len(ranks),
        'conditional_mrr': sum(1 / r for r in found) / len(found),
        'mean_rank': sum(found) / len(found),
    }


@pytest.mark.parametrize('tie', TIES)
@pytest.mark.parametrize('seed', range(3))
def test_equals_loops(tie, seed):
    scores, candidates, *_ = random_problem(seed)
    metrics = evaluate_scores(scores, candidates, tie)
    expected = metrics_loop(gold_ranks(scores, candidates, tie).tolist(), (1, 3, 5, 10))
    assert 0 < expected['recall'] < 1
    for name, value in expected.items():
        assert getattr(metrics, name) == pytest.approx(value), name
    assert (metrics.num_mentions, metrics.tie) == (60, tie)


def test_pessimistic_mrr_is_sklearns_ranking_precision():
    # Of one right label per row, scikit-learn's label ranking average precision is 1 / rank, ties counted against it.
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 5, (40, 7), generator=generator).double()
    gold = torch.randint(0, 7, (40, ), generator=generator)
    candidates = Candidates.from_lists([list(range(7))] * 40, gold.tolist())
    right = np.eye(7, dtype=int)[gold.numpy()]
    metrics = evaluate_scores(scores.flatten(), candidates)
    assert metrics.mrr == pytest.approx(label_ranking_average_precision_score(right, scores.numpy()))
    assert metrics.mrr != pytest.approx(evaluate_scores(scores.flatten(), candidates, 'optimistic').mrr)


@pytest.mark.parametrize('tie', TIES)
def test_hits_are_sklearns_top_k_accuracy(tie):
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(40, 12, generator=generator)  # no ties
    gold = torch.randint(0, 12, (40, ), generator=generator)
    metrics = evaluate_scores(scores.flatten(), Candidates.from_lists([list(range(12))] * 40, gold.tolist()), tie)
    for k, hit in metrics.hits.items():
        assert hit == pytest.approx(top_k_accuracy_score(gold, scores, k=k, labels=range(12)))


def test_conditional_is_raw_divided_by_recall():
    scores, candidates, *_ = random_problem(1)
    metrics = evaluate_scores(scores, candidates)
    assert metrics.conditional_mrr == pytest.approx(metrics.mrr / metrics.recall)
    for k in metrics.hits:
        assert metrics.conditional_hits[k] == pytest.approx(metrics.hits[k] / metrics.recall)


def test_standard_errors_are_those_of_a_mean():
    ranks = torch.tensor([1, 2, INF, 1, 5, 3, INF, 1]).double()
    metrics = rank_metrics(ranks)
    hit = (ranks <= 3).double()
    assert metrics.hits_error[3] == pytest.approx(float(hit.std(unbiased=False)) / math.sqrt(8))
    assert metrics.mrr_error == pytest.approx(float((1 / ranks).std(unbiased=False)) / math.sqrt(8))


def test_a_realistic_rank_between_two_counts_only_beyond_it():
    metrics = rank_metrics(torch.tensor([1.5]).double(), 'realistic', ks=(1, 2))
    assert metrics.hits == {1: 0.0, 2: 1.0}


def test_no_answer_is_there():
    metrics = rank_metrics(torch.tensor([INF, INF]).double())
    assert (metrics.recall, metrics.mrr, metrics.hits[10]) == (0, 0, 0)
    assert math.isnan(metrics.mean_rank)
    assert math.isnan(metrics.conditional_mrr)
    assert math.isnan(metrics.conditional_hits[1])


def test_other_depths():
    assert rank_metrics(torch.tensor([4.0]).double(), ks=(2, 4)).hits == {2: 0.0, 4: 1.0}


def test_dictionary_is_plain():
    metrics = rank_metrics(torch.tensor([1, INF]).double())
    read = json.loads(json.dumps(metrics.to_dict()))
    assert read['hits']['1'] == 0.5
    assert set(read) == set(vars(metrics))


def test_no_mentions():
    with pytest.raises(ValueError, match='There are no mentions to evaluate'):
        rank_metrics(torch.empty(0))
