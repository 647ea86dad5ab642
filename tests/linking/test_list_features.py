import math

import pytest
import torch

from drin_pyg.features import Candidates
from drin_pyg.linking.list_features import first_is_right, list_features, padded

LISTS = Candidates.from_lists([[4, 2, 7], [], [5], [1, 1], [3, 6, 8, 9]], [2, 0, 5, 1, 0])
SCORES = torch.tensor([0.5, 2.5, -1.0, 7.0, 1.5, 1.5, -0.2, 0.4, 60.0, 0.1])


def by_loop(scores, lists):
    """Features and first candidate of each list, one number at a time."""
    features, first = [], []
    for m in range(lists.num_mentions):
        own = [float(s) for s in scores[lists.ptr[m]:lists.ptr[m + 1]].double()]
        total = sum(math.exp(s) for s in own)
        p = [math.exp(s) / total for s in own]
        ranked = sorted(own, reverse=True)
        nan = float('nan')
        features.append([
            ranked[0] if own else nan,
            ranked[0] - ranked[1] if len(own) > 1 else nan,
            max(p) if len(own) > 1 else nan,
            -sum(q * math.log(q) for q in p) if len(own) > 1 else nan,
        ])
        first.append(own.index(ranked[0]) if own else None)
    return torch.tensor(features, dtype=torch.double), first


def test_features_against_a_loop():
    torch.testing.assert_close(list_features(SCORES, LISTS), by_loop(SCORES, LISTS)[0], equal_nan=True)


def test_no_candidates_at_all():
    empty = Candidates.from_lists([[], []], [0, 1])
    assert bool(list_features(torch.empty(0), empty).isnan().all())
    assert first_is_right(torch.empty(0), empty).tolist() == [False, False]


def test_first_is_right():
    expected = []
    for m, place in enumerate(by_loop(SCORES, LISTS)[1]):
        own = LISTS.entity[LISTS.ptr[m]:LISTS.ptr[m + 1]]
        expected.append(place is not None and bool(own[place] == LISTS.gold[m]))
    assert expected == [True, False, True, True, False]
    assert first_is_right(SCORES, LISTS).tolist() == expected


def test_of_equal_scores_the_first_counts():
    lists = Candidates.from_lists([[0, 1], [0, 1]], [0, 1])
    assert first_is_right(torch.zeros(4), lists).tolist() == [True, False]


@pytest.mark.parametrize('lists', [[[1], [2]], [[0, 1, 2], []]])
def test_padded_has_two_columns_at_least(lists):
    candidates = Candidates.from_lists(lists)
    rows = padded(torch.arange(candidates.num_pairs).float(), candidates, -1.0)
    assert rows.shape == (2, max(2, *map(len, lists)))
    assert rows[0, 0] == 0
    assert rows[1, -1] == -1
