import pytest
import torch

from drin_pyg.features import NIL, Candidates
from drin_pyg.features.candidates import ranges
from drin_pyg.vocabulary import EDGE_TYPES, TEXT_TEXT
from tests.world import GOLD, LISTS

PTR, ENTITY = torch.tensor([0, 2, 2, 3]), torch.tensor([4, 0, 1])


def lists_of(candidates):
    return [candidates.entity[a:b].tolist() for a, b in zip(candidates.ptr[:-1], candidates.ptr[1:], strict=True)]


def test_from_lists_round_trip():
    candidates = Candidates.from_lists(LISTS, GOLD)
    assert lists_of(candidates) == LISTS
    assert candidates.gold.tolist() == GOLD
    assert (candidates.num_mentions, candidates.num_pairs) == (6, 16)
    assert candidates.counts.tolist() == [len(entities) for entities in LISTS]
    assert candidates.mention.tolist() == [m for m, entities in enumerate(LISTS) for _ in entities]


def test_y_marks_every_copy_of_the_answer_and_none_of_nil():
    candidates = Candidates.from_lists(LISTS, GOLD)
    assert candidates.y.tolist() == [e == gold for gold, entities in zip(GOLD, LISTS, strict=True) for e in entities]
    assert candidates.y[candidates.mention == 4].tolist() == [True, False, True]
    assert not Candidates.from_lists([[0, 1]], [NIL]).y.any()


def test_y_needs_gold():
    with pytest.raises(ValueError, match=r"no 'gold' answers"):
        _ = Candidates.from_lists(LISTS).y


@pytest.mark.parametrize('lists', [[], [[]], [[], []]])
def test_nothing(lists):
    candidates = Candidates.from_lists(lists, [NIL] * len(lists))
    assert (candidates.num_mentions, candidates.num_pairs) == (len(lists), 0)
    assert candidates.entity.dtype == candidates.mention.dtype == torch.long
    assert candidates.y.shape == (0,)


@pytest.mark.parametrize('mention', [[0, 1, 2, 3, 4, 5], [4, 0], [3, 3, 1], [1], []])
def test_select(mention):
    weight = {TEXT_TEXT: torch.arange(16.)}
    plain = Candidates.from_lists(LISTS, GOLD)
    candidates = Candidates(plain.ptr, plain.entity, plain.gold, weight)
    index = torch.tensor(mention, dtype=torch.long)
    selected = candidates.select(index)
    assert lists_of(selected) == [LISTS[m] for m in mention]
    assert selected.gold.tolist() == [GOLD[m] for m in mention]
    positions = [p for m in mention for p in range(int(plain.ptr[m]), int(plain.ptr[m + 1]))]
    assert selected.weight[TEXT_TEXT].tolist() == positions
    assert candidates.pairs_of(index).tolist() == positions


def test_select_without_gold():
    assert Candidates.from_lists(LISTS).select(torch.tensor([0])).gold is None


@pytest.mark.parametrize(('start', 'count'), [([5, 0, 7], [2, 0, 3]), ([3], [1]), ([], []), ([1, 1], [0, 0]),
                                              ([4, 2], [0, 2])])
def test_ranges(start, count):
    expected = [s + k for s, n in zip(start, count, strict=True) for k in range(n)]
    out = ranges(torch.tensor(start, dtype=torch.long), torch.tensor(count, dtype=torch.long))
    assert out.dtype == torch.long
    assert out.tolist() == expected


@pytest.mark.parametrize('ptr', [[], [1, 3], [0, 2], [0, 4], [0, 3, 2, 3]],
                         ids=['empty', 'starts late', 'ends early', 'ends late', 'falls'])
def test_bad_ptr_is_named(ptr):
    with pytest.raises(ValueError, match=r"'ptr' must rise from 0 to the number of pairs \(3\)"):
        Candidates(torch.tensor(ptr, dtype=torch.long), ENTITY)


@pytest.mark.parametrize('name', ['ptr', 'entity', 'gold'])
@pytest.mark.parametrize('spoil', [lambda x: x.int(), lambda x: x.unsqueeze(0), lambda x: x.float()],
                         ids=['int32', 'two dimensions', 'float'])
def test_field_of_a_wrong_form_is_named(name, spoil):
    fields = {'ptr': PTR, 'entity': ENTITY, 'gold': torch.tensor([0, 0, 0])}
    fields[name] = spoil(fields[name])
    with pytest.raises(ValueError, match=f"'{name}' must be a one-dimensional int64 tensor"):
        Candidates(**fields)


def test_gold_of_another_length_is_named():
    with pytest.raises(ValueError, match=r"'gold' has 2 answers for 3 mentions"):
        Candidates(PTR, ENTITY, torch.tensor([0, 1]))


@pytest.mark.parametrize('edge_type', EDGE_TYPES)
@pytest.mark.parametrize('weight', [torch.ones(2), torch.ones(3, 1)], ids=['short', 'two dimensions'])
def test_weight_of_another_shape_is_named(edge_type, weight):
    with pytest.raises(ValueError, match=rf"weight\[.*{edge_type[1]}.*\].*each of the 3 pairs"):
        Candidates(PTR, ENTITY, weight={edge_type: weight})


def test_weight_of_an_unknown_relation_is_named():
    with pytest.raises(ValueError, match=r"weight\[\('a', 'b', 'c'\)\] must belong to a relation of the vocabulary"):
        Candidates(PTR, ENTITY, weight={('a', 'b', 'c'): torch.ones(3)})


def test_weight_that_is_not_finite_is_named():
    with pytest.raises(ValueError, match=r"text_text.* holds NaN or infinite values in 1 row\(s\), the first is row 1"):
        Candidates(PTR, ENTITY, weight={TEXT_TEXT: torch.tensor([0., float('nan'), 0.])})
