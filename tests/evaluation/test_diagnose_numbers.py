"""Statistics of weights and vertices against loops."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from drin_pyg.evaluation.diagnose_pass import depths
from drin_pyg.evaluation.diagnose_vertices import VertexSample, effective_rank, mean_cosine
from drin_pyg.evaluation.diagnose_weights import BINS, gold_auc, order_correlation, weight_statistics
from drin_pyg.features import Candidates
from drin_pyg.graph import candidate_batch
from drin_pyg.nn import DRIN
from drin_pyg.vocabulary import ENTITY_IMAGE, ENTITY_TEXT, ENTITY_TYPES, MENTION_IMAGE, MENTION_TEXT
from tests.world import WIDTHS


def lists_and_weights(seed=0):
    """Ragged lists, and two weights with ties and gaps."""
    rng = np.random.default_rng(seed)
    lists = [rng.permutation(30)[:n].tolist() for n in rng.integers(0, 9, 40)]
    gold = [int(rng.choice(entities)) if entities and rng.random() < 0.8 else -1 for entities in lists]
    candidates = Candidates.from_lists(lists, gold)
    weights = torch.from_numpy(rng.integers(0, 8, (2, candidates.num_pairs)) / 10.0)
    weights[:, torch.from_numpy(rng.random(candidates.num_pairs) < 0.2)] = torch.nan
    return candidates, *weights


def by_mention(candidates, *values):
    """For each mention, the numbers of its pairs that have an edge: y, then each weight."""
    for m in range(candidates.num_mentions):
        place = slice(int(candidates.ptr[m]), int(candidates.ptr[m + 1]))
        y, rows = candidates.y[place].numpy(), [value[place].numpy() for value in values]
        there = ~np.isnan(rows[0])
        yield y[there], *(row[there] for row in rows)


def auc_by_loop(candidates, weight):
    result = []
    for y, w in by_mention(candidates, weight):
        pairs = list(itertools.product(w[y], w[~y]))
        if pairs:
            result.append(np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs]))
    return np.array(result)


def test_statistics_of_weights_equal_loops():
    candidates, weight, _ = lists_and_weights()
    found = weight_statistics('r', 1, weight, candidates, 0.25)
    every = np.concatenate([w for _, w in by_mention(candidates, weight)])
    gold = np.concatenate([w[y] for y, w in by_mention(candidates, weight)])
    rest = np.concatenate([w[~y] for y, w in by_mention(candidates, weight)])
    within = sum(((w - w.mean())**2).sum() for _, w in by_mention(candidates, weight) if w.size) / every.size
    between = sum(w.size * (w.mean() - every.mean())**2 for _, w in by_mention(candidates, weight) if w.size)
    auc = auc_by_loop(candidates, weight)
    assert found.num_pairs == every.size
    assert found.mean == pytest.approx(every.mean())
    assert found.variance == pytest.approx(every.var())
    assert found.within == pytest.approx(within)
    assert found.between == pytest.approx(between / every.size)
    assert found.variance == pytest.approx(found.between + found.within)
    assert (found.gold_mean, found.rest_mean) == pytest.approx((gold.mean(), rest.mean()))
    assert (found.auc, found.auc_mentions) == pytest.approx((auc.mean(), auc.size))
    assert found.auc_error == pytest.approx(auc.std() / auc.size**0.5)
    assert found.saturated == 0.25
    assert len(found.bins) == BINS + 1
    assert (sum(found.gold_counts), sum(found.rest_counts)) == (gold.size, rest.size)
    for i in range(1, BINS - 1):  # the outermost take in the tails
        inside = (rest > found.bins[i]) & (rest <= found.bins[i + 1])
        assert found.rest_counts[i] == inside.sum()


def test_auc_of_each_mention():
    candidates, weight, _ = lists_and_weights(1)
    np.testing.assert_allclose(gold_auc(weight, candidates).numpy(), auc_by_loop(candidates, weight))


def test_weights_that_are_all_alike():
    candidates, weight, _ = lists_and_weights()
    found = weight_statistics('r', 0, torch.full_like(weight, 0.5), candidates)
    assert found.variance == found.within == found.between == 0
    assert found.auc == 0.5
    assert sum(found.gold_counts) + sum(found.rest_counts) == candidates.num_pairs


def test_weights_without_a_right_pair():
    candidates, weight, _ = lists_and_weights()
    found = weight_statistics('r', 0, weight, replace(candidates, gold=torch.full_like(candidates.gold, -1)))
    assert math.isnan(found.gold_mean)
    assert math.isnan(found.auc)
    assert math.isnan(found.auc_error)
    assert (found.auc_mentions, sum(found.gold_counts), sum(found.rest_counts)) == (0, 0, found.num_pairs)
    assert found.rest_mean == found.mean


def test_a_relation_without_edges_has_no_statistics():
    candidates, weight, _ = lists_and_weights()
    assert weight_statistics('r', 0, torch.full_like(weight, torch.nan), candidates) is None


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_order_correlation_equals_scipy(seed):
    candidates, before, after = lists_and_weights(seed)
    expected = [spearmanr(a, b).statistic for _, a, b in by_mention(candidates, before, after)
                if a.size >= 3 and len(set(a)) > 1 and len(set(b)) > 1]
    assert len(expected) > 10
    np.testing.assert_allclose(order_correlation(before, after, candidates).numpy(), expected, atol=1e-12)


def test_order_that_stays():
    candidates, before, _ = lists_and_weights()
    found = order_correlation(before, torch.sigmoid(3 * before), candidates)
    assert found.numpy() == pytest.approx(1.0)


def cosines(rows):
    return [float(torch.cosine_similarity(a, b, dim=0)) for a, b in itertools.combinations(rows, 2)]


def test_mean_cosine_and_rank_equal_loops():
    x = torch.randn(9, 5, generator=torch.Generator().manual_seed(0)).double()
    assert mean_cosine(x) == pytest.approx(np.mean(cosines(x)))
    x[3] = 0
    assert mean_cosine(x) == pytest.approx(np.mean(cosines(x)))
    value = np.linalg.svd(x.numpy())[1]
    share = value / value.sum()
    assert effective_rank(x) == pytest.approx(math.exp(-sum(p * math.log(p) for p in share)))
    assert effective_rank(torch.eye(4)) == pytest.approx(4)
    assert effective_rank(torch.ones(4, 3)) == pytest.approx(1, abs=1e-4)
    assert math.isnan(mean_cosine(x[:1]))
    assert math.isnan(effective_rank(x[:0]))


@pytest.mark.parametrize('context', ['pair', 'mention'])
@pytest.mark.parametrize('compact', [True, False])
def test_vertices_equal_loops(world, context, compact):
    torch.manual_seed(0)
    model = DRIN(WIDTHS, 4, 1).requires_grad_(False)
    torch.nn.init.ones_(model.convs[0].scales['shared'])
    sample, seen = VertexSample(world.candidates), 0
    for mentions in ([0, 1, 2], [3], [4, 5]):  # batch by batch
        batch = candidate_batch(world.tables, world.candidates, torch.tensor(mentions), context=context,
                                compact=compact)
        for at in depths(model, batch):
            sample.add(at.number, batch, seen, at.x_dict)
        seen += batch.entity.numel()
    found = {(v.node_type, v.depth): v for v in sample.statistics()}

    # Mention by mention and pair by pair: the first vertex of each mention or entity, and all of a list.
    for depth in (0, 1):
        first, of_list = {t: {} for t in WIDTHS}, {t: [] for t in ENTITY_TYPES}
        for m in range(world.candidates.num_mentions):
            batch = candidate_batch(world.tables, world.candidates, torch.tensor([m]), context=context)
            at = list(depths(model, batch))[depth]
            images = batch[ENTITY_TEXT].num_images.tolist()
            starts = np.cumsum([0, *images])
            for t in ENTITY_TYPES:
                of_list[t] += [np.mean(cosines(at.x_dict[t]))] if len(at.x_dict[t]) > 1 else []
            for p, entity in enumerate(batch.entity.tolist()):
                first[ENTITY_TEXT].setdefault(entity, at.x_dict[ENTITY_TEXT][p])
                if images[p]:
                    first[ENTITY_IMAGE].setdefault(entity, at.x_dict[ENTITY_IMAGE][starts[p]])
            if images:
                for t in (MENTION_TEXT, MENTION_IMAGE):
                    if len(at.x_dict[t]):
                        first[t][m] = at.x_dict[t][0]
        for t, rows in first.items():
            assert found[t, depth].num_vertices == len(rows)
            assert found[t, depth].cosine == pytest.approx(np.mean(cosines(rows.values())), abs=1e-6)
            stacked = torch.stack(list(rows.values()))
            assert found[t, depth].effective_rank == pytest.approx(effective_rank(stacked), rel=1e-5)
        for t, values in of_list.items():
            assert found[t, depth].candidate_cosine == pytest.approx(np.mean(values), abs=1e-6)
