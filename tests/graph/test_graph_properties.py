"""Any tables and lists: batches are what their graphs are one by one, and what changes them leaves graphs that hold."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Batch

from drin_pyg.graph import (
    DropModality,
    DropRelation,
    KeepTopCandidates,
    candidate_batch,
    mention_graph,
    pair_graph,
    validate,
)
from drin_pyg.graph.extra_vertices import AddRegions, SplitEntity, SplitMention
from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_IMAGE, ENTITY_TEXT, MENTION_TEXT, NODE_TYPES, RELATIONS
from tests.graph.compare import assert_same_graph
from tests.strategies import fill, worlds

contexts = st.sampled_from(['pair', 'mention'])


def one_by_one(world, mentions, context):
    """The graphs of a batch, each built alone."""
    tables, lists = world.tables, world.candidates
    for m in mentions:
        pairs = range(int(lists.ptr[m]), int(lists.ptr[m + 1]))
        entities = lists.entity[list(pairs)].tolist()
        right = [entity == int(lists.gold[m]) for entity in entities]
        weight = {e: w[list(pairs)] for e, w in lists.weight.items()}
        if context == 'mention':
            yield mention_graph(tables, m, entities, y=right, weight=weight)
        else:
            for i, entity in enumerate(entities):
                yield pair_graph(tables, m, entity, y=right[i], weight={e: w[i:i + 1] for e, w in weight.items()})


@given(st.data(), worlds(kinds=('normal', 'zeros', 'tiny', 'equal')), contexts)
def test_a_batch_is_its_graphs(data, world, context):
    num = world.candidates.num_mentions
    mentions = data.draw(st.lists(st.integers(0, num - 1), max_size=5)) if num else []
    batch = candidate_batch(world.tables, world.candidates, torch.tensor(mentions, dtype=torch.long), context=context)
    graphs = list(one_by_one(world, mentions, context))
    assert batch.num_graphs == len(graphs)
    validate(batch)
    if graphs:
        assert_same_graph(batch, Batch.from_data_list(graphs))
        assert_same_graph(batch[len(graphs) - 1], graphs[-1])


@given(worlds(), contexts)
def test_a_compact_batch_has_the_same_rows(world, context):
    plain, compact = (candidate_batch(world.tables, world.candidates, context=context, compact=c)
                      for c in (False, True))
    validate(compact)
    for node_type in NODE_TYPES:
        store = compact[node_type]
        assert store.x[store.row].equal(plain[node_type].x)
        assert store.num_nodes == plain[node_type].num_nodes
    for edge_type in EDGE_TYPES:
        assert compact[edge_type].edge_index.equal(plain[edge_type].edge_index)
        assert compact[edge_type].edge_weight.equal(plain[edge_type].edge_weight)
        assert bool(plain[edge_type].edge_weight.isfinite().all())


@given(worlds(), contexts, st.booleans(), st.data())
def test_what_is_dropped_leaves_graphs_that_hold(world, context, compact, data):
    batch = candidate_batch(world.tables, world.candidates, context=context, compact=compact)
    transform = data.draw(st.sampled_from([
        DropRelation('text_text'), DropRelation('image_image', 0.5), DropModality(), DropModality([MENTION_TEXT], 0.3),
        KeepTopCandidates(1), KeepTopCandidates(2, 'image_text', keep_answer=True)]))
    changed = validate(transform(batch))
    if isinstance(transform, KeepTopCandidates):
        kept = torch.bincount(changed.mention, minlength=world.candidates.num_mentions)
        extra = transform.keep_answer * world.candidates.counts  # an answer may be listed many times
        assert bool((kept <= torch.minimum(world.candidates.counts, transform.k + extra)).all())
        assert bool(((kept > 0) == (world.candidates.counts > 0)).all())
        assert changed[ENTITY_TEXT].num_images.numel() == changed.entity.numel() == kept.sum()
    else:
        assert changed.entity.equal(world.candidates.entity)


@given(worlds(), contexts, st.booleans(), st.integers(0, 99))
def test_what_is_added_fits(world, context, compact, seed):
    batch = candidate_batch(world.tables, world.candidates, context=context, compact=compact)
    text, image = (world.tables.x[t].size(1) for t in (ENTITY_TEXT, ENTITY_IMAGE))
    mentions, entities = world.tables.num_mentions, world.tables.num_entities
    counts = torch.randint(0, 3, (mentions, ), generator=torch.Generator().manual_seed(seed))
    ptr = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)])
    batch = SplitMention(fill((mentions, text), 'mixed', seed))(batch)
    batch = AddRegions(fill((int(ptr[-1]), image), 'tiny', seed), ptr)(batch)
    if world.tables.x[MENTION_TEXT].size(1) == text:
        batch = SplitEntity(fill((entities, text), 'zeros', seed))(batch)
    validate(batch)
    for edge_type in batch.edge_types:
        store = batch[edge_type]
        if 'pair' in store:
            assert bool(store.edge_weight.isfinite().all())
            assert store.pair.numel() == store.edge_index.size(1)
            assert store.pair.numel() == 0 or 0 <= int(store.pair.min()) <= int(store.pair.max()) < batch.entity.numel()


@given(worlds(), contexts, st.integers(-9, 9), st.integers(-9, 9))
def test_rows_that_are_not_there_are_named(world, context, mention, entity):
    num_mentions, num_entities = world.tables.num_mentions, world.tables.num_entities
    if 0 <= mention < num_mentions and 0 <= entity < num_entities:
        validate(pair_graph(world.tables, mention, entity))
    else:
        with pytest.raises(IndexError, match=r'There is no (mention|entity) -?[0-9]'):
            pair_graph(world.tables, mention, entity)
    if not 0 <= mention < num_mentions:
        with pytest.raises(IndexError, match='There is no mention'):
            candidate_batch(world.tables, world.candidates, torch.tensor([mention]), context=context)


@given(worlds(), st.sampled_from(list(RELATIONS.values())), st.sampled_from(NODE_TYPES), st.sampled_from([
    float('nan'), float('inf'), -float('inf')]), st.data())
def test_validate_finds_what_does_not_hold(world, edge_type, node_type, bad, data):
    batch = candidate_batch(world.tables, world.candidates, context='mention')
    store, vertices = batch[edge_type], batch[node_type]
    damages = ['edge', 'missing', 'width', *(['weight', 'far', 'negative'] if store.edge_index.size(1) else []),
               *(['vertex'] if vertices.x.numel() else [])]
    damage = data.draw(st.sampled_from(damages))
    if damage == 'edge':
        store.edge_weight = fill((store.edge_index.size(1) + 1, ), 'normal', 0)
    elif damage == 'missing':
        del store.edge_weight
    elif damage == 'width':
        vertices.x = vertices.x.flatten()
    elif damage == 'weight':
        store.edge_weight = store.edge_weight.clone().fill_(bad)
    elif damage == 'far':
        store.edge_index = store.edge_index + 10**15
    elif damage == 'negative':
        store.edge_index = store.edge_index - 10**6
    else:
        vertices.x = vertices.x.clone().fill_(bad)
    with pytest.raises(ValueError, match=r'data|graph'):
        validate(batch)
