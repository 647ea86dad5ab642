"""Every score equals that of DRIN.forward on the graphs of the same pairs."""

import copy
import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from drin_pyg.features import Candidates
from drin_pyg.features.pair_tables import PairTables
from drin_pyg.features.side_tables import side_tables
from drin_pyg.graph import candidate_batch, forward_args
from drin_pyg.linking import CandidateScorer, EntityIndex, TopK, score_candidates
from drin_pyg.linking.candidate_chunk import plan
from drin_pyg.linking.candidate_scorer import GPU_SHARE, NUM_TABLES, _default_chunk_size, _merge, _nothing
from drin_pyg.nn import DRIN
from drin_pyg.vocabulary import EDGE_TYPES
from tests.world import LISTS, WIDTHS, make_tables

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
KINDS = {'default': {}, 'doubting': {'doubt_images': True},
         'published': {'residual': False, 'read_relations': False}, 'own': {'shared': False},
         'static': {'dynamic': False}, 'own static text': {'shared': False, 'dynamic': False, 'read_relations': False}}


def make_model(kind='default', num_layers=2, dtype=torch.float64, edge_types=EDGE_TYPES, width=8, **kwargs):
    torch.manual_seed(0)
    model = DRIN(WIDTHS, width, num_layers, edge_types, **{**KINDS[kind], **kwargs})
    with torch.no_grad():
        for parameter in model.parameters():  # the starting values hide what an edge update or a residual does
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.to(dtype).eval()


def cast(tables, dtype):
    return PairTables({t: x.to(dtype) for t, x in tables.x.items()},
                      {e: tuple(side.to(dtype) for side in sides) for e, sides in tables.weight.items()}, tables.ptr)


def reference(model, tables, candidates, context):
    with torch.no_grad():
        return model(**forward_args(candidate_batch(tables, candidates, context=context)))


def check(model, tables, candidates, context, dtype=torch.float64, **kwargs):
    tables, mentions = cast(tables, dtype), side_tables(cast(tables, dtype))[0]
    index = EntityIndex.build(model, side_tables(tables)[1], dtype=dtype)
    scores = score_candidates(model, index, mentions, candidates, context=context, **kwargs)
    assert scores.dtype == dtype
    expected = reference(model, tables, candidates, context)
    assert expected.numel() == 0 or expected.std() > 1e-3
    torch.testing.assert_close(scores, expected, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])
    return scores


@pytest.mark.parametrize('context', ['pair', 'mention'])
@pytest.mark.parametrize('chunk_size', [1, 2, 3, 5, 1000])
@pytest.mark.parametrize('num_layers', [0, 1, 2, 3])
@pytest.mark.parametrize('kind', KINDS)
def test_scores_equal_forward(world, kind, num_layers, chunk_size, context):
    check(make_model(kind, num_layers), world.tables, world.candidates, context, chunk_size=chunk_size)


@pytest.mark.parametrize('context', ['pair', 'mention'])
@pytest.mark.parametrize('kind', KINDS)
def test_scores_equal_forward_with_one_image_and_given_weights(single_world, kind, context):
    for num_layers, chunk_size in itertools.product([1, 2], [2, 1000]):
        candidates = copy.deepcopy(single_world.candidates)
        for edge_type, weight in candidates.weight.items():
            candidates.weight[edge_type] = weight.double()
        before = copy.deepcopy(candidates.weight)
        check(make_model(kind, num_layers), single_world.tables, candidates, context, chunk_size=chunk_size)
        for edge_type, weight in before.items():
            assert torch.equal(candidates.weight[edge_type], weight)


@pytest.mark.parametrize('context', ['pair', 'mention'])
@pytest.mark.parametrize('read', [False, True])
def test_any_relations(world, context, read):
    for number in range(1, 5):
        for edge_types in itertools.combinations(EDGE_TYPES, number):
            check(make_model(edge_types=list(edge_types), read_relations=read), world.tables, world.candidates, context,
                  chunk_size=4)


@pytest.mark.parametrize('context', ['pair', 'mention'])
@pytest.mark.parametrize('kind', KINDS)
def test_single_precision(world, kind, context):
    check(make_model(kind, dtype=torch.float32), world.tables, world.candidates, context, torch.float32, chunk_size=4)


@pytest.mark.parametrize('num_images', [(1, 1), (0, 0), (1, 0), (0, 1), (3, 1), (1, 3)])
@pytest.mark.parametrize('context', ['pair', 'mention'])
def test_images(num_images, context):
    counts = dict(zip([t for t in WIDTHS if 'image' in t], ([num_images[0]] * 6, [num_images[1]] * 8), strict=True))
    tables = make_tables(counts)
    check(make_model('default'), tables, Candidates.from_lists(LISTS), context, chunk_size=4)
    check(make_model('published'), tables, Candidates.from_lists(LISTS), context)


@pytest.mark.parametrize('context', ['pair', 'mention'])
def test_long_random_lists(context):
    generator = torch.Generator().manual_seed(3)
    counts = torch.randint(0, 40, (30, ), generator=generator).tolist()
    lists = [torch.randint(0, 50, (n, ), generator=generator).tolist() for n in counts]
    images = {t: torch.randint(0, most, (n, ), generator=generator).tolist()
              for (t, n), most in zip([(t, 30 if 'mention' in t else 50) for t in WIDTHS if 'image' in t], (3, 2),
                                      strict=True)}
    tables = make_tables(images, 30, 50)
    # The smallest chunks are more than are kept from one reading of a list to the next.
    for kind, size in (('default', 7), ('published', 64), ('published', 16), ('default', 10_000), ('published', 2),
                       ('default', 2)):
        check(make_model(kind), tables, Candidates.from_lists(lists), context, chunk_size=size)


def best_of(scores, candidates, k):
    """The reference: a Python sort of each list."""
    rows = []
    for m in range(candidates.num_mentions):
        start, stop = candidates.ptr[m:m + 2].tolist()
        places = sorted(range(start, stop), key=lambda p: (-float(scores[p]), p))[:k]
        rows.append(([float(scores[p]) for p in places] + [float('-inf')] * (k - len(places)),
                     candidates.entity[places].tolist() + [-1] * (k - len(places)),
                     [p - start for p in places] + [-1] * (k - len(places))))
    return TopK(*(torch.tensor([row[i] for row in rows]) for i in range(3)))


@pytest.mark.parametrize('context', ['pair', 'mention'])
@pytest.mark.parametrize('k', [1, 2, 5, 100])
@pytest.mark.parametrize('chunk_size', [1, 3, 1000])
def test_top_k(world, context, k, chunk_size):
    tables, model = cast(world.tables, torch.float64), make_model()
    mentions, entities = side_tables(tables)
    index = EntityIndex.build(model, entities, dtype=torch.float64)
    scores = reference(model, tables, world.candidates, context)
    found = score_candidates(model, index, mentions, world.candidates, k, context=context, chunk_size=chunk_size)
    expected = best_of(scores, world.candidates, k)
    torch.testing.assert_close(found.score, expected.score.double(), atol=1e-6, rtol=0)
    assert torch.equal(found.entity, expected.entity)
    for m, row in enumerate(found.position.tolist()):
        own = world.candidates.entity[world.candidates.ptr[m]:world.candidates.ptr[m + 1]].tolist()
        assert [own[place] if place >= 0 else -1 for place in row] == found.entity[m].tolist()
        assert len({place for place in row if place >= 0}) == min(k, len(own))


@pytest.mark.parametrize('size', [1, 2, 3, 7, 20])
def test_ties_go_to_the_first_on_the_list(size):
    score = torch.randint(0, 3, (4, 20), generator=torch.Generator().manual_seed(0)).double()
    score[3, 2:] = -torch.inf  # a list of two
    entity = torch.arange(20).expand(4, 20) + 100
    kept = _nothing(4, 5, torch.float64)
    for start in range(0, 20, size):
        kept = _merge(kept, score[:, start:start + size], entity[:, start:start + size], start, 5)
    for row in range(4):
        places = sorted((p for p in range(20) if score[row, p] > -torch.inf), key=lambda p: (-float(score[row, p]), p))
        places = (places + [-1] * 5)[:5]
        assert kept.position[row].tolist() == places
        assert kept.entity[row].tolist() == [p + 100 if p >= 0 else -1 for p in places]


@pytest.mark.parametrize('context', ['pair', 'mention'])
def test_no_lists_means_everyone(world, context):
    tables, model = cast(world.tables, torch.float64), make_model()
    mentions, entities = side_tables(tables)
    index = EntityIndex.build(model, entities, dtype=torch.float64)
    everyone = Candidates.from_lists([range(8)] * 6)
    expected = reference(model, tables, everyone, context)
    for chunk_size in (3, 20, 1000):
        scorer = CandidateScorer(model, index, context=context, chunk_size=chunk_size)
        torch.testing.assert_close(scorer(mentions), expected, atol=1e-12, rtol=1e-12)
        assert torch.equal(scorer(mentions, k=3).entity, best_of(expected, everyone, 3).entity)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('compute', [None, 'same'])
@pytest.mark.parametrize('context', ['pair', 'mention'])
def test_half_precision(world, dtype, compute, context):
    model = make_model('default', dtype=torch.float32)
    mentions, entities = side_tables(world.tables)
    index = EntityIndex.build(model, entities, dtype=dtype)
    scores = score_candidates(model, index, mentions, world.candidates, context=context, chunk_size=4,
                              dtype=dtype if compute else None)
    assert scores.dtype == torch.float32
    expected = reference(model, world.tables, world.candidates, context)
    assert (scores - expected).abs().max() < 0.1 * expected.std()
    assert not torch.equal(scores, expected)


def test_given_weights_need_single_images(world):
    given = Candidates(world.candidates.ptr, world.candidates.entity,
                       weight={EDGE_TYPES[3]: torch.zeros(world.candidates.num_pairs)})
    model = make_model(dtype=torch.float32)
    mentions, entities = side_tables(world.tables)
    with pytest.raises(ValueError, match='one number per pair'):
        score_candidates(model, EntityIndex.build(model, entities), mentions, given)


def test_nonsense_is_named(world):
    model = make_model(dtype=torch.float32)
    mentions, entities = side_tables(world.tables)
    index = EntityIndex.build(model, entities)
    with pytest.raises(ValueError, match='context'):
        CandidateScorer(model, index, context='both')
    with pytest.raises(ValueError, match='chunk_size'):
        CandidateScorer(model, index, chunk_size=0)
    scorer = CandidateScorer(model, index)
    with pytest.raises(ValueError, match="'k' must be at least 1"):
        scorer(mentions, world.candidates, 0)
    with pytest.raises(ValueError, match='6 mentions, but candidate lists of 2'):
        scorer(mentions, Candidates.from_lists([[1], [2]]))
    with pytest.raises(ValueError, match="'mention_text' features of width 4, got 7"):
        scorer(replace(mentions, text=torch.zeros(6, 7)), world.candidates)
    narrow = {e: table[:, :2] if e == EDGE_TYPES[2] else table for e, table in mentions.weight.items()}
    with pytest.raises(ValueError, match=r"weight\['image_text'\] has width 2, that of the index 3"):
        scorer(replace(mentions, weight=narrow), world.candidates)
    with pytest.raises(IndexError, match='no entity 99; the index has entities 0 to 7'):
        scorer(mentions, Candidates.from_lists([[1], [99], [], [], [], []]))
    with pytest.raises(ValueError, match=r'built with another model .* its parameters differ'):
        CandidateScorer(perturbed(model), index)


def perturbed(model):
    other = copy.deepcopy(model)
    with torch.no_grad():
        next(other.parameters())[0] += 1
    return other


@pytest.mark.parametrize(('width', 'widths', 'row'), [
    (512, {'a': 100, 'b': 8}, 1024), (128, {'a': 100, 'b': 300}, 1200)])
def test_a_chunk_takes_its_share_of_a_gpu(monkeypatch, width, widths, row):
    model = SimpleNamespace(device=torch.device('cuda:1'), dtype=torch.bfloat16, width=width,
                            index=SimpleNamespace(widths=widths))
    free = {model.device: 80 * 10**9}
    monkeypatch.setattr(torch.cuda, 'mem_get_info', lambda device: (free[device], 10**12))
    taken = NUM_TABLES * row * _default_chunk_size(model)  # bytes of the widest table, in half or single precision
    assert 0.99 * GPU_SHARE * 80 * 10**9 < taken <= GPU_SHARE * 80 * 10**9
    free[model.device] = 10**6
    assert _default_chunk_size(model) == 1024  # or a chunk would be all overhead


@pytest.mark.parametrize('chunk_size', [1, 5, 32, 1000])
@pytest.mark.parametrize('num_chunks', [1, 4])
def test_plan_covers_every_place_once(chunk_size, num_chunks):
    rng = np.random.default_rng(0)
    counts, images = rng.integers(0, 60, 200), rng.integers(0, 3, 200)
    covered = np.zeros((200, 60), dtype=int)
    for block in plan(counts, images, chunk_size, num_chunks):
        own = block.mention.numpy()
        assert len(set(images[own])) == 1
        assert block.length == counts[own].max()
        assert own.size == 1 or block.length * own.size <= chunk_size * num_chunks
        for rows, start, stop in block.chunks:
            assert 0 < (stop - start) * own[rows].size <= chunk_size
            covered[own[rows], start:stop] += 1
    for m in range(200):
        assert (covered[m, :counts[m]] == 1).all()
    assert covered.max() == 1
    assert covered.sum() <= 1.2 * counts.sum()
