from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from drin_pyg.evaluation import append_gold, gold_ranks, protocol_gap
from drin_pyg.features import Candidates, MELData
from drin_pyg.graph import CandidateLoader
from drin_pyg.nn import DRIN
from drin_pyg.training import CandidateDataModule, predict
from drin_pyg.vocabulary import TEXT_TEXT
from tests.training.tables import make_tables


@pytest.fixture
def data(world):
    return MELData(world.tables, world.candidates, {'test': torch.tensor([3, 0, 4, 1])})


def test_every_list_ends_with_its_answer(data):
    longer, _ = append_gold(data)
    before = data.candidates
    for m in range(before.num_mentions):
        gold = int(before.gold[m])
        expected = before.entity[before.ptr[m]:before.ptr[m + 1]].tolist() + ([gold] if gold >= 0 else [])
        assert longer.entity[longer.ptr[m]:longer.ptr[m + 1]].tolist() == expected


@pytest.mark.parametrize('context', ['pair', 'mention'])
def test_only_what_was_retrieved_is_scored(data, context):
    longer, transform = append_gold(data)
    for compact in (True, False):
        loader = CandidateLoader(data.tables, longer, max_pairs=7, context=context, compact=compact,
                                 transform=transform)
        entity = torch.cat([batch.entity[batch.scored] for batch in loader])
        assert entity.tolist() == data.candidates.entity.tolist()


def test_weights_given_per_pair_need_a_preset(data):
    weight = {TEXT_TEXT: torch.zeros(data.candidates.num_pairs)}
    given = replace(data, candidates=replace(data.candidates, weight=weight))
    with pytest.raises(ValueError, match='none for appended answers'):
        append_gold(given)
    # A preset gives them to any pair; here, by its entity.
    preset = SimpleNamespace(pair_weights=lambda tables, lists, *_: {TEXT_TEXT: lists.entity.float()})
    longer, _ = append_gold(replace(given, preset=preset))
    assert longer.num_pairs > data.candidates.num_pairs
    assert longer.weight[TEXT_TEXT].equal(longer.entity.float())
    with pytest.raises(ValueError, match="have no 'gold'"):
        append_gold(replace(data, candidates=Candidates(data.candidates.ptr, data.candidates.entity)))


@pytest.mark.parametrize('context', ['pair', 'mention'])
def test_the_leak_changes_scores_through_shared_vertices_alone(context):
    tables, candidates, split = make_tables()
    model = DRIN(hidden_channels=8, residual=False)
    plain = CandidateDataModule(tables, candidates, split, context=context)
    predict(model, plain)  # sizes
    data = MELData(tables, candidates, split)
    leaked = CandidateDataModule(tables, candidates, split, context=context, appended=append_gold(data))
    scores, other = predict(model, plain), predict(model, leaked)
    assert scores.shape == other.shape
    assert torch.allclose(scores, other, atol=1e-6) == (context == 'pair')
    assert leaked.lists('test').entity.tolist() == plain.lists('test').entity.tolist()


def test_gap_by_hand():
    # Found and first; tied with the answer; not retrieved; found but second.
    lists = Candidates.from_lists([[0, 1], [2, 3], [4], [5, 6]], [0, 2, 9, 5])
    scores = torch.tensor([2., 1., 1., 1., 5., 0., 1.])
    leaked = torch.tensor([2., 1., 1., 1., 5., 3., 1.])  # with the answer appended, the last one is right, too
    gap = protocol_gap(scores, leaked, lists)
    assert gap.honest == 0.25
    assert gap.ties == 0.5
    assert gap.conditional == pytest.approx(2 / 3)
    assert gap.published == 1.0
    assert gap.appended == 0.5
    assert gap.recall == 0.75
    assert gold_ranks(scores, lists).isinf().sum() == 1
    text = gap.format()
    assert '25.00%' in text
    assert '+33.33%' in text
