import pytest
import torch
from torch_geometric.data import Batch, HeteroData

from drin_pyg.features import Candidates
from drin_pyg.graph import candidate_batch, mention_graph, pair_graph, validate
from drin_pyg.vocabulary import (
    EDGE_TYPES,
    ENTITY_IMAGE,
    ENTITY_TEXT,
    MENTION_IMAGE,
    MENTION_TEXT,
    NODE_TYPES,
    TEXT_TEXT,
)
from tests.graph.compare import assert_equal, assert_same_graph
from tests.world import LISTS, NUM_IMAGES, World, make_tables

contexts = pytest.mark.parametrize('context', ['pair', 'mention'])

# Mentions of a batch: all, some, in another order, twice, one without candidates, one with a single candidate.
MENTIONS = {'all': None, 'subset': [2, 4], 'order': [5, 4, 3, 2, 1, 0], 'repetition': [3, 0, 3, 3],
            'empty first': [1, 0], 'empty last': [0, 1], 'single': [2]}


def single_graphs(world, context, mention=None):
    """The graphs of a batch one by one: what `candidate_batch` must be the batch of."""
    tables, candidates = world.tables, world.candidates
    graphs = []
    for m in range(candidates.num_mentions) if mention is None else mention:
        pairs = range(int(candidates.ptr[m]), int(candidates.ptr[m + 1]))
        entities = [int(candidates.entity[p]) for p in pairs]
        y = None if candidates.gold is None else [entity == int(candidates.gold[m]) for entity in entities]
        if context == 'mention':
            weight = {t: w[list(pairs)] for t, w in candidates.weight.items()}
            graphs.append(mention_graph(tables, m, entities, y=y, weight=weight))
        else:
            graphs += [pair_graph(tables, m, entity, y=None if y is None else y[k],
                                  weight={t: w[p:p + 1] for t, w in candidates.weight.items()})
                       for k, (p, entity) in enumerate(zip(pairs, entities, strict=True))]
    return graphs


def build(world, context, mention=None, **kwargs):
    mention = None if mention is None else torch.tensor(mention)
    return candidate_batch(world.tables, world.candidates, mention, context=context, **kwargs)


def assert_same_batch(actual, graphs):
    expected = Batch.from_data_list(graphs)
    assert type(actual) is type(expected)
    assert_same_graph(actual, expected)
    assert_equal(actual._slice_dict, expected._slice_dict, 'slices')
    assert_equal(actual._inc_dict, expected._inc_dict, 'increments')
    assert actual.num_graphs == expected.num_graphs == len(graphs)


@contexts
@pytest.mark.parametrize('mention', MENTIONS.values(), ids=MENTIONS)
def test_equals_batch_of_single_graphs(world, mention, context):
    assert_same_batch(build(world, context, mention), single_graphs(world, context, mention))


@contexts
@pytest.mark.parametrize('mention', MENTIONS.values(), ids=MENTIONS)
def test_equals_batch_of_single_graphs_with_given_weights(single_world, mention, context):
    assert_same_batch(build(single_world, context, mention), single_graphs(single_world, context, mention))


@contexts
def test_equals_batch_without_gold(world, context):
    world.candidates = Candidates.from_lists(LISTS)
    batch = build(world, context)
    assert 'y' not in batch
    assert_same_batch(batch, single_graphs(world, context))


@contexts
def test_one_row_per_owner_without_ptr(world, context):
    tables = make_tables({MENTION_IMAGE: [1] * 6, ENTITY_IMAGE: [1] * 8})
    tables.ptr.clear()
    world.tables = tables
    assert_same_batch(build(world, context), single_graphs(world, context))


@contexts
def test_splits_into_its_graphs_again(world, context):
    batch, graphs = build(world, context), single_graphs(world, context)
    for graph, expected in zip(batch.to_data_list(), graphs, strict=True):
        assert_same_graph(graph, expected)
    for index in (0, 4, len(graphs) - 1):
        assert_same_graph(batch.get_example(index), graphs[index])


@contexts
def test_passes_the_checks(world, context):
    batch = build(world, context)
    assert isinstance(batch, Batch)
    assert isinstance(batch, HeteroData)
    assert batch.validate()
    assert validate(batch) is batch


@contexts
def test_pairs_follow_the_candidate_lists(world, context):
    mention = [4, 0, 4]
    batch = build(world, context, mention)
    assert batch.mention.tolist() == [m for m in mention for _ in LISTS[m]]
    assert batch.entity.tolist() == [entity for m in mention for entity in LISTS[m]]
    assert batch[ENTITY_TEXT].num_images.tolist() == [NUM_IMAGES[ENTITY_IMAGE][e] for e in batch.entity]
    # Scores are those of the text-text edges, so these must come in the order of the pairs.
    assert batch[TEXT_TEXT].edge_index[1].tolist() == list(range(9))


@contexts
def test_edges_are_sorted_by_source(world, context):
    batch = build(world, context)
    for edge_type in EDGE_TYPES:
        assert (batch[edge_type].edge_index[0].diff() >= 0).all()


def test_contexts_differ_in_their_mention_vertices_alone(world):
    pair, mention = build(world, 'pair'), build(world, 'mention')
    assert pair[MENTION_TEXT].num_nodes == 16
    assert mention[MENTION_TEXT].num_nodes == 6
    for node_type in (ENTITY_TEXT, ENTITY_IMAGE):
        assert pair[node_type].x.equal(mention[node_type].x)
    for edge_type in EDGE_TYPES:
        assert pair[edge_type].num_edges == mention[edge_type].num_edges


# Given weights #######################################################################################################


@contexts
def test_given_weights_take_the_place_of_inner_products(single_world, context):
    batch, given = build(single_world, context, [3, 4, 0]), single_world.candidates.weight
    pairs = single_world.candidates.pairs_of(torch.tensor([3, 4, 0]))
    assert batch[EDGE_TYPES[0]].edge_weight.equal(given[EDGE_TYPES[0]][pairs])
    plain = build(World(single_world.tables, Candidates.from_lists(LISTS)), context, [3, 4, 0])
    assert batch[EDGE_TYPES[1]].edge_weight.equal(plain[EDGE_TYPES[1]].edge_weight)


@contexts
def test_given_weight_of_a_missing_image_is_unused(single_world, context):
    batch, given = build(single_world, context), single_world.candidates.weight[EDGE_TYPES[3]]
    both = [NUM_IMAGES[MENTION_IMAGE][m] > 0 and NUM_IMAGES[ENTITY_IMAGE][e] > 0
            for m, e in zip(batch.mention.tolist(), batch.entity.tolist(), strict=True)]
    assert sorted(batch[EDGE_TYPES[3]].edge_weight.tolist()) == sorted(given[torch.tensor(both)].tolist())


@contexts
@pytest.mark.parametrize('several', [MENTION_IMAGE, ENTITY_IMAGE])
def test_given_weights_and_several_images_are_refused(single_world, several, context):
    counts = {t: [min(n, 1) for n in numbers] for t, numbers in NUM_IMAGES.items()}
    counts[several] = NUM_IMAGES[several]
    single_world.tables = make_tables(counts)
    with pytest.raises(ValueError, match=f"image_image.*some '{several}' here has several images"):
        build(single_world, context)
    # A batch that does not meet them is fine.
    assert build(single_world, context, [0]).num_graphs > 0


# Nothing there #######################################################################################################


@contexts
@pytest.mark.parametrize('compact', [False, True])
def test_no_mentions(world, compact, context):
    batch = candidate_batch(
        world.tables, world.candidates, torch.empty(0, dtype=torch.long), context=context, compact=compact)
    assert batch.num_graphs == 0
    assert batch.entity.shape == batch.mention.shape == batch.y.shape == (0,)
    assert all(batch[t].x.shape == (0, world.tables.x[t].size(1)) for t in NODE_TYPES)
    assert all(batch[t].edge_index.shape == (2, 0) and batch[t].edge_weight.shape == (0,) for t in EDGE_TYPES)
    validate(batch)


@contexts
@pytest.mark.parametrize('compact', [False, True])
def test_no_candidates_anywhere(world, compact, context):
    world.candidates = Candidates.from_lists([[]] * 6, gold=[-1] * 6)
    batch = build(world, context, compact=compact)
    assert batch.num_graphs == (6 if context == 'mention' else 0)
    assert batch.entity.shape == (0,)
    assert all(batch[t].edge_index.shape == (2, 0) for t in EDGE_TYPES)
    validate(batch)
    if context == 'mention' and not compact:
        assert_same_batch(batch, single_graphs(world, context))


@contexts
def test_no_images_anywhere(world, context):
    world.tables = make_tables({MENTION_IMAGE: [0] * 6, ENTITY_IMAGE: [0] * 8})
    batch = build(world, context)
    assert batch[MENTION_IMAGE].x.shape == (0, 5)
    assert_same_batch(batch, single_graphs(world, context))


# Compact #############################################################################################################


@contexts
@pytest.mark.parametrize('mention', MENTIONS.values(), ids=MENTIONS)
def test_compact_expands_to_the_plain_batch(world, mention, context):
    compact, plain = build(world, context, mention, compact=True), build(world, context, mention)
    for node_type in NODE_TYPES:
        store = compact[node_type]
        assert store.x[store.row].equal(plain[node_type].x)
        assert store.num_nodes == plain[node_type].num_nodes
        assert store.batch.equal(plain[node_type].batch)
        assert store.ptr.equal(plain[node_type].ptr)
    for edge_type in EDGE_TYPES:
        assert compact[edge_type].edge_index.equal(plain[edge_type].edge_index)
        assert compact[edge_type].edge_weight.equal(plain[edge_type].edge_weight)
    for key in ('mention', 'entity', 'y'):
        assert compact[key].equal(plain[key])
    validate(compact)


def test_compact_stores_each_row_once(world):
    batch = build(world, 'pair', compact=True)
    assert batch[MENTION_TEXT].x.size(0) == 5  # mention 1 has no candidate
    assert batch[ENTITY_TEXT].x.size(0) == 8
    assert all(batch[t].row.unique().numel() == batch[t].x.size(0) for t in NODE_TYPES)


# Errors ##############################################################################################################


def test_unknown_context_is_named(world):
    with pytest.raises(ValueError, match="'context' must be 'pair' or 'mention', got 'graph'"):
        build(world, 'graph')


@contexts
@pytest.mark.parametrize('bad', [-1, 6])
def test_mention_out_of_range_is_named(world, bad, context):
    with pytest.raises(IndexError, match=f'no mention {bad}; there are mention rows 0 to 5'):
        build(world, context, [0, bad])


@contexts
@pytest.mark.parametrize('bad', [-1, 8])
def test_entity_out_of_range_is_named(world, bad, context):
    world.candidates = Candidates.from_lists([[0], [], [bad], [], [], []])
    with pytest.raises(IndexError, match=f'no entity {bad}; there are entity rows 0 to 7'):
        build(world, context)
    assert build(world, context, [0]).num_graphs == 1


@contexts
def test_more_lists_than_mentions_are_refused(world, context):
    world.candidates = Candidates.from_lists([[0]] * 7)
    with pytest.raises(IndexError, match='no mention 6'):
        build(world, context)
