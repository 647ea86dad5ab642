import pytest
import torch
from torch_geometric.transforms import Compose

from drin_pyg.features import TextEncoder
from drin_pyg.graph import (
    AddRegions,
    CandidateLoader,
    PairEdges,
    SplitEntity,
    SplitMention,
    candidate_batch,
    pair_graph,
    text_rows,
    validate,
)
from drin_pyg.vocabulary import (
    EDGE_TYPES,
    ENTITY_NAME,
    ENTITY_TEXT,
    MENTION_REGION,
    MENTION_SURFACE,
    MENTION_TEXT,
    REGION_IMAGE,
    REGION_TEXT,
    SURFACE_IMAGE,
    SURFACE_NAME,
    SURFACE_TEXT,
    TEXT_NAME,
)
from tests.graph.compare import assert_equal
from tests.graph.loops import assert_edges, assert_vertices, edges, entity_side, graphs_of, images, mention_side, texts
from tests.world import WIDTHS

MENTIONS = [5, 0, 1, 3, 4, 0]  # not in order, one without candidates, one twice
both_contexts = pytest.mark.parametrize('context', ['pair', 'mention'])
compact_or_not = pytest.mark.parametrize('compact', [False, True])


def randn(*size, seed=7):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def batch_of(world, context, compact, mentions=MENTIONS):
    return candidate_batch(world.tables, world.candidates, torch.tensor(mentions), context=context, compact=compact)


@both_contexts
@compact_or_not
def test_split_mention(world, context, compact):
    surface = randn(6, WIDTHS[ENTITY_TEXT])
    batch = SplitMention(surface)(batch_of(world, context, compact))
    graphs = graphs_of(world, MENTIONS, context)
    expected = mention_side(graphs, surface)
    assert_vertices(batch, MENTION_SURFACE, expected)
    assert_edges(batch, SURFACE_TEXT, edges(expected, texts(graphs, world)))
    assert SURFACE_IMAGE not in batch.edge_types


@both_contexts
@compact_or_not
def test_split_mention_against_a_table_and_the_images(world, context, compact):
    entity, surface = randn(8, 3, seed=1), randn(6, 3)
    batch = SplitMention(surface, entity, images=True)(batch_of(world, context, compact))
    graphs = graphs_of(world, MENTIONS, context)
    expected = mention_side(graphs, surface)
    assert_vertices(batch, MENTION_SURFACE, expected)
    assert_edges(batch, SURFACE_TEXT, edges(expected, entity_side(graphs, entity)))
    assert_edges(batch, SURFACE_IMAGE, edges(expected, images(graphs, world)))


@both_contexts
@compact_or_not
def test_split_entity(world, context, compact):
    name = randn(8, WIDTHS[MENTION_TEXT])
    batch = SplitEntity(name)(batch_of(world, context, compact))
    graphs = graphs_of(world, MENTIONS, context)
    expected = entity_side(graphs, name)
    assert_vertices(batch, ENTITY_NAME, expected)
    # Mention text vertices are there for a mention without candidates too, which has no edge.
    mention = mention_side([(m, own or [None]) for m, own in graphs], world.tables.x[MENTION_TEXT])
    assert_edges(batch, TEXT_NAME, edges(mention, expected))
    assert SURFACE_NAME not in batch.edge_types


@both_contexts
@compact_or_not
def test_names_are_joined_to_the_words_that_are_there(world, context, compact):
    surface, name = randn(6, 4), randn(8, 4, seed=2)
    transform = Compose([SplitMention(surface, randn(8, 4, seed=3)), SplitEntity(name)])
    batch = transform(batch_of(world, context, compact))
    graphs = graphs_of(world, MENTIONS, context)
    assert_edges(batch, SURFACE_NAME, edges(mention_side(graphs, surface), entity_side(graphs, name)))


@both_contexts
@compact_or_not
@pytest.mark.parametrize('texts_too', [False, True])
def test_add_regions(world, context, compact, texts_too):
    counts = [2, 1, 0, 3, 1, 1]
    ptr = torch.tensor([0, *counts]).cumsum(0)
    if texts_too:  # one width for all three
        world.tables.x[ENTITY_TEXT] = randn(8, 3, seed=4)
    regions = randn(sum(counts), 3)
    batch = AddRegions(regions, ptr, texts=texts_too)(batch_of(world, context, compact))
    graphs = graphs_of(world, MENTIONS, context)
    expected = mention_side(graphs, regions, ptr)
    assert_vertices(batch, MENTION_REGION, expected)
    assert_edges(batch, REGION_IMAGE, edges(expected, images(graphs, world)))
    assert (REGION_TEXT in batch.edge_types) is texts_too
    if texts_too:
        assert_edges(batch, REGION_TEXT, edges(expected, texts(graphs, world)))


@both_contexts
@compact_or_not
def test_what_was_there_stays(world, context, compact):
    before = batch_of(world, context, compact)
    untouched = batch_of(world, context, compact)
    after = Compose([SplitMention(randn(6, 6)), AddRegions(randn(6, 3), torch.arange(7))])(before)
    assert_equal(before.to_dict(), untouched.to_dict())  # a transform changes its copy alone
    for store in (*before.node_types, *before.edge_types):
        assert_equal(after[store].to_dict(), before[store].to_dict())
    assert after.entity.equal(before.entity)
    assert after.num_graphs == before.num_graphs
    validate(after)


def test_a_changed_batch_is_not_cut_wrongly(world):
    batch = batch_of(world, 'pair', False)
    assert batch.get_example(0).num_nodes > 0
    changed = SplitMention(randn(6, 6))(batch)
    with pytest.raises((RuntimeError, KeyError)):
        changed.get_example(0)
    assert batch.get_example(0).num_nodes > 0


@both_contexts
def test_by_a_loader(world, context):
    surface = randn(6, 6)
    loader = CandidateLoader(world.tables, world.candidates, max_pairs=5, context=context,
                             transform=Compose([PairEdges(), SplitMention(surface)]))
    seen = 0
    for batch in loader:
        for edge_type in (*EDGE_TYPES, SURFACE_TEXT):
            assert batch[edge_type].pair.numel() == batch[edge_type].edge_index.size(1)
        seen += batch[SURFACE_TEXT].edge_index.size(1)
    assert seen == world.candidates.num_pairs


def test_a_batch_without_a_pair(world):
    batch = Compose([SplitMention(randn(6, 6)), AddRegions(randn(6, 3), torch.arange(7))])(
        batch_of(world, 'mention', True, [1]))
    assert batch[MENTION_SURFACE].num_nodes == batch[MENTION_REGION].num_nodes == 0
    assert batch[SURFACE_TEXT].edge_index.shape == batch[REGION_IMAGE].edge_index.shape == (2, 0)
    assert batch[SURFACE_TEXT].pair.dtype == torch.long


@pytest.mark.parametrize(('transform', 'message'), [
    (lambda: SplitMention(randn(6, 5)), "first weight of .*'surface_text'.* 5 and 6 wide; encode both with one"),
    (lambda: SplitMention(randn(6, 6), images=True), "first weight of .*'surface_image'.* 6 and 3 wide"),
    (lambda: SplitEntity(randn(8, 6)), "first weight of .*'text_name'.* 4 and 6 wide"),
    (lambda: SplitMention(randn(5, 6)), "'surface' has rows for 5 mentions or entities, but the batch has number 5"),
    (lambda: SplitMention(randn(6, 6), randn(7, 6)), "'entity' has rows for 7 .* number 7; give one for each"),
    (lambda: SplitEntity(randn(7, 4)), "'name' has rows for 7 mentions or entities, but the batch has number 7"),
    (lambda: AddRegions(randn(3, 3), torch.tensor([0, 3])), "'ptr' has rows for 1 mentions"),
    (lambda: AddRegions(randn(3, 3), torch.tensor([0, 2])), "'ptr' must be int64 .* rise from 0 to the 3 rows"),
    (lambda: AddRegions(randn(3, 3), torch.tensor([0, 2, 1, 3])), "'ptr' must be int64 .* rise from 0 to the 3 rows"),
    (lambda: SplitMention(torch.ones(6)), r"'surface' must be a float tensor \[rows, F\], got torch.float32 \[6\]"),
    (lambda: SplitEntity(torch.ones(8, 4, dtype=torch.long)), "'name' must be a float tensor"),
    (lambda: SplitEntity(torch.full((8, 4), torch.nan)), "'name' holds NaN"),
])
def test_bad_input(world, transform, message):
    with pytest.raises(ValueError, match=message):
        transform()(batch_of(world, 'pair', True))


def test_a_single_graph_is_refused(world):
    with pytest.raises(ValueError, match='single graph; make a batch of it with `candidate_batch`'):
        SplitMention(randn(6, 6))(pair_graph(world.tables, 0, 0))


def test_text_rows_are_those_of_the_offline_encoder(monkeypatch):
    class Fake:
        def __call__(self, texts, how):
            return {'mean': torch.tensor([[float(len(text)), how] for text in texts])}

    monkeypatch.setattr(TextEncoder, 'minilm', Fake)
    assert text_rows(['ab', 'c', ''], how=5).tolist() == [[2.0, 5.0], [1.0, 5.0], [0.0, 5.0]]
