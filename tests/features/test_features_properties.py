"""Lists and tables of any numbers: what holds is kept as it is, and what does not is named."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from drin_pyg.datasets import Entity, EntityList, Mention
from drin_pyg.features import Candidates, PairTables
from drin_pyg.features.side_tables import pair_tables, select_mentions, side_tables
from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_IMAGE, MENTION_IMAGE, NODE_TYPES
from tests.strategies import worlds

rows = st.lists(st.lists(st.integers(-2, 9), max_size=5), max_size=5)
whole = st.lists(st.integers(-3, 12), max_size=6)


@given(rows, st.data())
def test_lists_stay_what_they_are(lists, data):
    gold = data.draw(st.lists(st.integers(-1, 9), min_size=len(lists), max_size=len(lists)))
    candidates = Candidates.from_lists(lists, gold)
    ptr = candidates.ptr.tolist()
    assert [candidates.entity[a:b].tolist() for a, b in pairwise(ptr)] == lists
    assert candidates.y.tolist() == [e == g for own, g in zip(lists, gold, strict=True) for e in own]
    assert candidates.mention.tolist() == [m for m, own in enumerate(lists) for _ in own]
    chosen = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=6)) if lists else []
    part = candidates.select(torch.tensor(chosen, dtype=torch.long))
    assert [part.entity[a:b].tolist() for a, b in pairwise(part.ptr.tolist())] == [
        lists[m] for m in chosen]
    assert part.gold.tolist() == [gold[m] for m in chosen]


@given(whole, whole, whole)
def test_any_pointers_hold_or_are_refused(ptr, entity, gold):
    holds = bool(ptr) and ptr[0] == 0 and ptr[-1] == len(entity) and ptr == sorted(ptr) and len(gold) == len(ptr) - 1
    tensors = [torch.tensor(values, dtype=torch.long) for values in (ptr, entity, gold)]
    if holds:
        assert Candidates(*tensors).num_pairs == len(entity)
    else:
        with pytest.raises(ValueError, match=r"'ptr'|'gold'"):
            Candidates(*tensors)


@given(st.lists(st.text(max_size=3), max_size=6), st.lists(st.tuples(
    st.lists(st.text(max_size=3), max_size=4), st.none() | st.text(max_size=3)), max_size=5))
def test_records_find_their_rows_or_are_named(ids, mentions):
    base = EntityList([Entity(name, 'name') for name in ids])
    known = list(dict.fromkeys(ids))
    records = [Mention(str(i), 'x', 'x', (), answer, tuple(names)) for i, (names, answer) in enumerate(mentions)]
    if any(name not in known for names, _ in mentions for name in names):
        with pytest.raises(ValueError, match='not in the knowledge base'):
            Candidates.from_records(records, base)
        return
    candidates = Candidates.from_records(records, base)
    assert candidates.entity.tolist() == [known.index(name) for names, _ in mentions for name in names]
    assert candidates.gold.tolist() == [known.index(a) if a in known else -1 for _, a in mentions]


@given(worlds())
def test_sides_come_apart_and_together(world):
    mention, entity = side_tables(world.tables)
    again = pair_tables(mention, entity)
    for node_type in NODE_TYPES:
        assert again.x[node_type].equal(world.tables.x[node_type])
    backwards = torch.arange(world.tables.num_mentions).flip(0)
    twice = select_mentions(select_mentions(mention, backwards), backwards)
    assert twice.text.equal(mention.text)
    assert twice.image.equal(mention.image)
    assert twice.ptr.equal(mention.ptr)
    for edge_type in EDGE_TYPES:
        assert twice.weight[edge_type].equal(mention.weight[edge_type])


@given(worlds(), st.sampled_from(NODE_TYPES), st.sampled_from(EDGE_TYPES), st.sampled_from(
    ['row', 'rank', 'kind', 'gone', 'nan', 'inf', 'table', 'width', 'ptr']), st.data())
def test_tables_that_do_not_fit_are_named(world, node_type, edge_type, damage, data):
    tables = world.tables
    x, weight, ptr = dict(tables.x), dict(tables.weight), dict(tables.ptr)
    value = x[node_type]
    if damage == 'row':
        x[node_type] = torch.cat([value, value.new_zeros(1, value.size(1))])
    elif damage == 'rank':
        x[node_type] = value.flatten()
    elif damage == 'kind':
        x[node_type] = value.long()
    elif damage == 'gone':
        del x[node_type]
    elif damage in ('nan', 'inf'):
        x[node_type] = torch.cat([value, value])[:value.size(0)].fill_(float(damage))
    elif damage == 'table':
        weight[edge_type] = (weight[edge_type][0].new_zeros(99, 1), weight[edge_type][1])
    elif damage == 'width':
        weight[edge_type] = (weight[edge_type][0], weight[edge_type][1].new_zeros(weight[edge_type][1].size(0), 7))
    else:
        images = data.draw(st.sampled_from([MENTION_IMAGE, ENTITY_IMAGE]))
        ptr[images] = ptr[images] + 1
    if damage in ('nan', 'inf') and value.numel() == 0:
        PairTables(x, weight, ptr)
        return
    with pytest.raises(ValueError, match=r'must|lacks|holds|rows|has|differ'):
        PairTables(x, weight, ptr)


@given(worlds(max_images=1, kinds=('normal', )), st.sampled_from(EDGE_TYPES), st.integers(-1, 1))
def test_given_weights_belong_to_pairs(world, edge_type, more):
    pairs = world.candidates.num_pairs
    weight = {edge_type: torch.ones(max(pairs + more, 0))}
    if weight[edge_type].numel() == pairs:
        assert replace(world.candidates, weight=weight).weight[edge_type].numel() == pairs
    else:
        with pytest.raises(ValueError, match='one number for each'):
            replace(world.candidates, weight=weight)
