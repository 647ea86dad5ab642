import pytest
import torch
from torch.utils.data.datapipes.iter import IterableWrapper
from torch_geometric.data import Batch
from torch_geometric.transforms import Compose

from drin_pyg.features import Candidates
from drin_pyg.graph import (
    AddRegions,
    CandidateLoader,
    DropModality,
    DropRelation,
    KeepTopCandidates,
    LinkCandidates,
    PairEdges,
    SplitEntity,
    SplitMention,
    candidate_batch,
    forward_args,
    mention_graph,
    pair_graph,
    pair_of_edge,
    validate,
)
from drin_pyg.nn import DRIN
from drin_pyg.vocabulary import (
    EDGE_TYPES,
    ENTITY_IMAGE,
    ENTITY_TEXT,
    IMAGE_IMAGE,
    IMAGE_TEXT,
    MENTION_IMAGE,
    REGION_IMAGE,
    REGION_TEXT,
    SIMILAR,
    SURFACE_TEXT,
    TEXT_IMAGE,
    TEXT_TEXT,
)
from tests.graph.compare import assert_equal
from tests.world import NUM_IMAGES, make_tables

MENTIONS = [5, 0, 1, 3, 4, 2, 0]  # not in order, one without candidates, one twice
both_contexts = pytest.mark.parametrize('context', ['pair', 'mention'])
compact_or_not = pytest.mark.parametrize('compact', [False, True])


def randn(*size, seed=7):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def batch_of(world, context, compact, mentions=MENTIONS):
    return candidate_batch(world.tables, world.candidates, torch.tensor(mentions), context=context, compact=compact)


def drawn(batch, p, seed):
    """The mentions that the same draw hits, one by one in ascending order."""
    torch.manual_seed(seed)
    return {m for m, u in zip(sorted(set(batch.mention.tolist())), torch.rand(len(set(batch.mention.tolist()))),
                              strict=True) if u < p}


def dropped_by_loops(batch, edge_type, hit):
    """Edges of a relation, but for those of the mentions in `hit`: (source, destination, weight, pair)."""
    store, pairs = batch[edge_type], pair_of_edge(batch, edge_type).tolist()
    return [(int(store.edge_index[0, i]), int(store.edge_index[1, i]), float(store.edge_weight[i]), pair)
            for i, pair in enumerate(pairs) if int(batch.mention[pair]) not in hit]


def found(batch, edge_type):
    store = batch[edge_type]
    return [(int(a), int(b), float(w), int(p)) for a, b, w, p in zip(
        *store.edge_index, store.edge_weight, pair_of_edge(batch, edge_type), strict=True)]


# Dropping ############################################################################################################


@both_contexts
@compact_or_not
@pytest.mark.parametrize('p', [0.0, 0.5, 1.0])
def test_drop_relation(world, context, compact, p):
    before = PairEdges()(batch_of(world, context, compact))
    hit = drawn(before, p, seed=1)
    assert p != 0.5 or 0 < len(hit) < 5
    torch.manual_seed(1)
    after = DropRelation('image_text', p)(before)
    for edge_type in EDGE_TYPES:
        expected = dropped_by_loops(before, edge_type, hit if edge_type == IMAGE_TEXT else set())
        assert found(after, edge_type) == expected
        assert after[edge_type].pair.tolist() == [pair for *_, pair in expected]
    if p == 1.0:
        assert after[IMAGE_TEXT].edge_index.shape == (2, 0)
        assert after[IMAGE_TEXT].edge_weight.shape == after[IMAGE_TEXT].pair.shape == (0, )
    validate(after)


@both_contexts
@compact_or_not
@pytest.mark.parametrize(('node_types', 'gone'), [
    ((MENTION_IMAGE, ENTITY_IMAGE), {TEXT_IMAGE, IMAGE_TEXT, IMAGE_IMAGE}),
    ((MENTION_IMAGE, ), {IMAGE_TEXT, IMAGE_IMAGE}),
    ((ENTITY_IMAGE, ), {TEXT_IMAGE, IMAGE_IMAGE}),
])
def test_drop_modality(world, context, compact, node_types, gone):
    before = batch_of(world, context, compact)
    hit = drawn(before, 0.4, seed=3)
    assert 0 < len(hit) < 5
    torch.manual_seed(3)
    after = DropModality(node_types, 0.4)(before)
    for edge_type in EDGE_TYPES:  # all relations of a mention go together
        assert found(after, edge_type) == dropped_by_loops(before, edge_type, hit if edge_type in gone else set())


@both_contexts
@compact_or_not
def test_scores_are_those_of_graphs_that_never_had_images(world, context, compact):
    torch.manual_seed(0)
    model = DRIN({t: x.size(1) for t, x in world.tables.x.items()}, 8, 2).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    blind = make_tables({t: [0] * len(n) for t, n in NUM_IMAGES.items()})
    for node_type in (ENTITY_TEXT, EDGE_TYPES[0][0]):
        blind.x[node_type] = world.tables.x[node_type]
    blind.weight[TEXT_TEXT] = world.tables.weight[TEXT_TEXT]
    expected = model(**forward_args(candidate_batch(blind, world.candidates, torch.tensor(MENTIONS), context=context,
                                                    compact=compact)))
    plain = model(**forward_args(batch_of(world, context, compact)))
    actual = model(**forward_args(DropModality()(batch_of(world, context, compact))))
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)
    assert not actual.allclose(plain, atol=1e-2)


def test_regions_are_images(world):
    regions = AddRegions(randn(6, 6), torch.arange(7), texts=True)
    world.tables.x[ENTITY_IMAGE] = randn(sum(NUM_IMAGES[ENTITY_IMAGE]), 6, seed=8)
    after = Compose([regions, DropModality((MENTION_IMAGE, ))])(batch_of(world, 'pair', True))
    sizes = {e: after[e].edge_index.size(1) for e in after.edge_types}
    assert sizes[REGION_IMAGE] == sizes[REGION_TEXT] == sizes[IMAGE_TEXT] == 0 < sizes[TEXT_IMAGE]


@both_contexts
def test_the_batch_that_was_given_stays(world, context):
    before, untouched = batch_of(world, context, False), batch_of(world, context, False)
    for transform in (DropRelation(TEXT_TEXT), DropModality(), KeepTopCandidates(1)):
        after = transform(before)
        assert_equal(before.to_dict(), untouched.to_dict())
        with pytest.raises((RuntimeError, KeyError)):  # a changed batch is not cut wrongly
            after.get_example(0)


def test_single_graphs_and_batches_of_them(world):
    graphs = [pair_graph(world.tables, 3, entity) for entity in (3, 6)]
    for graph in graphs:
        validate(DropRelation(TEXT_TEXT)(graph))
        assert DropRelation(TEXT_TEXT)(graph)[TEXT_TEXT].edge_index.shape == (2, 0)
    batch = Batch.from_data_list([DropModality()(graph) for graph in graphs])
    assert_equal(batch.to_dict(), DropModality()(Batch.from_data_list(graphs)).to_dict())


def test_as_a_functional_transform(world):
    after = next(iter(IterableWrapper([batch_of(world, 'pair', True)]).drop_relation('text_text')))
    assert after[TEXT_TEXT].edge_weight.shape == (0, )


# Keeping #############################################################################################################


def shorter(world, mentions, score, k, keep_answer=False):
    """One list for each asked-for mention, of its best candidates in their order, and the answers."""
    ptr, entity = world.candidates.ptr.tolist(), world.candidates.entity.tolist()
    lists, first = [], 0
    for m in mentions:
        own = entity[ptr[m]:ptr[m + 1]]
        best = sorted(range(len(own)), key=lambda i: -score[first + i])[:k]
        gold = int(world.candidates.gold[m])
        lists.append([e for i, e in enumerate(own) if i in best or (keep_answer and e == gold)])
        first += len(own)
    return lists


def expected_batch(world, lists, mentions, context, compact):
    """The batch of the shorter lists, which `candidate_batch` builds (mentions without repetition)."""
    of_row = [[]] * 6
    for m, own in zip(mentions, lists, strict=True):
        of_row[m] = own
    candidates = Candidates.from_lists(of_row, world.candidates.gold.tolist())
    batch = candidate_batch(world.tables, candidates, torch.tensor(mentions), context=context, compact=compact)
    for name in ('_slice_dict', '_inc_dict'):
        vars(batch._global_store).pop(name, None)
    return batch


def first_weights(batch, edge_type):
    """Mean weight of each pair's edges, in plain loops; -inf without one."""
    own = [[] for _ in batch.entity]
    for weight, pair in zip(batch[edge_type].edge_weight.tolist(), pair_of_edge(batch, edge_type).tolist(),
                            strict=True):
        own[pair].append(weight)
    return [sum(w) / len(w) if w else float('-inf') for w in own]


@both_contexts
@compact_or_not
@pytest.mark.parametrize('keep_answer', [False, True])
@pytest.mark.parametrize(('edge_type', 'k'), [(TEXT_TEXT, 1), (TEXT_TEXT, 2), (IMAGE_IMAGE, 2), (TEXT_IMAGE, 3),
                                              (TEXT_TEXT, 100)])
def test_equals_the_batch_of_the_shorter_lists(world, context, compact, edge_type, k, keep_answer):
    mentions = [5, 0, 1, 3, 4, 2]
    before = batch_of(world, context, compact, mentions)
    lists = shorter(world, mentions, first_weights(before, edge_type), k, keep_answer)
    after = KeepTopCandidates(k, edge_type, keep_answer)(before)
    assert_equal(after.to_dict(), expected_batch(world, lists, mentions, context, compact).to_dict())
    assert after.num_graphs == (sum(map(len, lists)) if context == 'pair' else len(mentions))
    validate(after)


@both_contexts
def test_by_a_model(world, context):
    mentions = [5, 0, 1, 3, 4, 2]
    torch.manual_seed(0)
    model = DRIN({t: x.size(1) for t, x in world.tables.x.items()}, 8).eval()
    before = batch_of(world, context, True, mentions)
    with torch.no_grad():
        score = model(**forward_args(before)).tolist()
    after = KeepTopCandidates(2, by=lambda batch: model(**forward_args(batch)))(before)
    expected = expected_batch(world, shorter(world, mentions, score, 2), mentions, context, True)
    assert_equal(after.to_dict(), expected.to_dict())


def test_of_equals_the_earlier(world):
    batch = batch_of(world, 'mention', False, [3])
    after = KeepTopCandidates(3, by=lambda data: torch.zeros(7))(batch)
    assert after.entity.tolist() == batch.entity[:3].tolist() == [6, 5, 4]


def test_a_single_graph(world):
    graph = mention_graph(world.tables, 3, [6, 5, 4, 3])
    expected = mention_graph(world.tables, 3, [6, 3])
    after = KeepTopCandidates(2, by=lambda data: torch.tensor([0.5, 0.1, 0.2, 0.9]))(graph)
    assert_equal(after.to_dict(), expected.to_dict())


@both_contexts
@compact_or_not
def test_further_vertices_are_cut_as_well(world, context, compact):
    mentions = [5, 0, 1, 3, 4, 2]
    steps = [PairEdges(), SplitMention(randn(6, 4), randn(8, 4, seed=5)), SplitEntity(randn(8, 4, seed=2)),
             AddRegions(randn(6, 3), torch.arange(7))]
    before = batch_of(world, context, compact, mentions)
    lists = shorter(world, mentions, first_weights(before, TEXT_TEXT), 2)
    after = Compose([*steps, KeepTopCandidates(2)])(before)
    expected = Compose(steps)(expected_batch(world, lists, mentions, context, compact))
    assert_equal(after.to_dict(), expected.to_dict())
    assert after[SURFACE_TEXT].pair.numel() == after.entity.numel()


def test_links_between_candidates_are_cut(world):
    batch = LinkCandidates(6)(batch_of(world, 'mention', True, [3]))
    after = KeepTopCandidates(3)(batch)
    ends = sorted(zip(*after[SIMILAR].edge_index.tolist(), strict=True))
    assert ends == [(a, b) for a in range(3) for b in range(3) if a != b]


@both_contexts
def test_by_a_loader(world, context):
    loader = CandidateLoader(world.tables, world.candidates, max_pairs=5, context=context,
                             transform=Compose([KeepTopCandidates(2), DropModality(p=0.5)]))
    seen = {}
    for batch in loader:
        validate(batch)
        for m in batch.mention.tolist():
            seen[m] = seen.get(m, 0) + 1
    assert seen == {m: min(2, n) for m, n in enumerate(world.candidates.counts.tolist()) if n}


@pytest.mark.parametrize(('transform', 'message'), [
    (lambda: DropRelation('no_such'), "no relation 'no_such'; there are text_text"),
    (lambda: DropRelation(SIMILAR), "The graph has no relation .*'similar'.*; its relations are text_text"),
    (lambda: DropRelation(TEXT_TEXT, 1.5), "'p' must be a probability, 0 to 1, got 1.5"),
    (lambda: DropModality(p=-1), "'p' must be a probability"),
    (lambda: DropModality(('sound', )), "The graph has no relation of 'sound'"),
    (lambda: KeepTopCandidates(0), "'k' must be at least 1, got 0"),
    (lambda: KeepTopCandidates(1, SIMILAR), "The graph has no relation .*'similar'"),
    (lambda: KeepTopCandidates(1, lambda data: torch.zeros(3)), r"one score for each of the 16 pairs, got \[3\]"),
])
def test_bad_input(world, transform, message):
    with pytest.raises(ValueError, match=message):
        transform()(candidate_batch(world.tables, world.candidates))


def test_answers_must_be_known_to_be_kept(world):
    unknown = Candidates.from_lists([[0, 1], [], [3], [], [], [4]])
    with pytest.raises(ValueError, match="the graph has none"):
        KeepTopCandidates(1, keep_answer=True)(candidate_batch(world.tables, unknown))


@pytest.mark.parametrize('add', [
    lambda batch: batch[ENTITY_TEXT].update({'popularity': torch.zeros(16)}),
    lambda batch: batch[TEXT_TEXT].update({'age': torch.zeros(16)}),
    lambda batch: setattr(batch, 'prior', torch.zeros(16)),
])
def test_what_it_cannot_cut_is_refused(world, add):
    batch = candidate_batch(world.tables, world.candidates)
    add(batch)
    with pytest.raises(ValueError, match='put KeepTopCandidates before the transform that adds it'):
        KeepTopCandidates(1)(batch)
