import pytest
import torch
from torch_geometric.data import Batch

from drin_pyg.features import Candidates
from drin_pyg.graph import CandidateLoader, PairBudgetSampler, candidate_batch
from tests.graph.compare import assert_equal
from tests.world import LISTS

COUNTS = torch.tensor([3, 0, 1, 7, 3, 2, 0, 0, 5, 1, 4, 9])


def greedy(counts, order, max_pairs):
    """Mentions in order, as many as fit, one after another."""
    batches, used = [], 0
    for mention in order:
        count = int(counts[mention])
        if not batches or used + count > max_pairs:
            batches.append([])
            used = 0
        batches[-1].append(mention)
        used += count
    return batches


@pytest.mark.parametrize('max_pairs', [1, 2, 3, 5, 6, 7, 9, 10, 34, 35, 36, 1000])
def test_batches_take_mentions_while_they_fit(max_pairs):
    assert list(PairBudgetSampler(COUNTS, max_pairs)) == greedy(COUNTS, range(12), max_pairs)


@pytest.mark.parametrize('shuffle', [False, True])
@pytest.mark.parametrize('max_pairs', [1, 5, 8, 100])
def test_budget_is_kept_unless_one_mention_alone_breaks_it(max_pairs, shuffle):
    for batch in PairBudgetSampler(COUNTS, max_pairs, shuffle):
        needed = [count for count in COUNTS[batch].tolist() if count]
        assert sum(needed) <= max_pairs or len(needed) == 1


@pytest.mark.parametrize('shuffle', [False, True])
@pytest.mark.parametrize('max_pairs', [1, 5, 8, 100])
def test_each_mention_once_and_no_empty_batch(max_pairs, shuffle):
    sampler = PairBudgetSampler(COUNTS, max_pairs, shuffle)
    batches = list(sampler)
    assert sorted(mention for batch in batches for mention in batch) == list(range(12))
    assert all(batches)
    assert len(sampler) == len(batches)


def test_order_is_a_function_of_seed_and_epoch():
    def batches(seed, epoch):
        sampler = PairBudgetSampler(COUNTS, 8, shuffle=True, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    torch.manual_seed(1)
    first = batches(0, 3)
    torch.manual_seed(2)  # the global generator has no say
    assert batches(0, 3) == first
    orders = {str(batches(seed, epoch)) for seed in range(3) for epoch in range(4)}
    assert len(orders) == 12


def test_shuffling_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    list(PairBudgetSampler(COUNTS, 8, shuffle=True))
    assert torch.get_rng_state().equal(state)


def test_without_shuffling_every_epoch_is_the_same():
    sampler = PairBudgetSampler(COUNTS, 8, seed=1)
    first = list(sampler)
    sampler.set_epoch(5)
    assert list(sampler) == first


@pytest.mark.parametrize(('counts', 'expected'), [
    ([], []), ([0, 0, 0], [[0, 1, 2]]), ([9], [[0]]), ([9, 0], [[0], [1]])])
def test_nothing_or_nearly_nothing(counts, expected):
    sampler = PairBudgetSampler(torch.tensor(counts, dtype=torch.long), 4)
    assert list(sampler) == expected
    assert len(sampler) == len(expected)


@pytest.mark.parametrize('max_pairs', [0, -1])
def test_budget_must_be_positive(world, max_pairs):
    with pytest.raises(ValueError, match=f"'max_pairs' must be at least 1, got {max_pairs}"):
        PairBudgetSampler(COUNTS, max_pairs)
    with pytest.raises(ValueError, match="'max_pairs'"):
        CandidateLoader(world.tables, world.candidates, max_pairs=max_pairs)


def mentions_of(batches):
    """Mentions with candidates, in the order of the batches."""
    return [mention for batch in batches for mention in dict.fromkeys(batch.mention.tolist())]


def assert_same_batches(actual, expected):
    for batch, want in zip(actual, expected, strict=True):
        assert_equal(batch.to_dict(), want.to_dict())


@pytest.mark.parametrize('compact', [False, True])
@pytest.mark.parametrize('context', ['pair', 'mention'])
def test_loads_what_candidate_batch_builds(world, context, compact):
    loader = CandidateLoader(world.tables, world.candidates, max_pairs=5, context=context, compact=compact)
    expected = [candidate_batch(world.tables, world.candidates, torch.tensor(mention), context=context, compact=compact)
                for mention in greedy(world.candidates.counts, range(6), 5)]
    batches = list(loader)
    assert_same_batches(batches, expected)
    assert len(loader) == len(expected) == 3
    assert all(isinstance(batch, Batch) for batch in batches)


def test_loads_the_mentions_asked_for(world):
    loader = CandidateLoader(world.tables, world.candidates, torch.tensor([5, 1, 3, 0]), max_pairs=5)
    assert [batch.mention.unique().tolist() for batch in loader] == [[5], [3], [0]]
    assert mentions_of(loader) == [5, 3, 0]
    assert len(loader.dataset) == 4  # what a loop divides its sums by


def test_set_epoch_reshuffles(world):
    loader = CandidateLoader(world.tables, world.candidates, max_pairs=5, shuffle=True, seed=7)
    orders = []
    for epoch in (0, 1, 2, 0):
        loader.set_epoch(epoch)
        orders.append(mentions_of(loader))
    assert orders[0] == orders[3]
    assert len({str(order) for order in orders}) == 3
    assert all(sorted(order) == [0, 2, 3, 4, 5] for order in orders)


def test_two_workers_load_the_same_batches(world):
    kwargs = {'max_pairs': 5, 'shuffle': True, 'seed': 3}
    alone = CandidateLoader(world.tables, world.candidates, **kwargs)
    two = CandidateLoader(world.tables, world.candidates, num_workers=2, **kwargs)
    for epoch in range(2):
        alone.set_epoch(epoch)
        two.set_epoch(epoch)
        assert_same_batches(two, alone)


def test_empty(world):
    loader = CandidateLoader(world.tables, world.candidates, torch.empty(0, dtype=torch.long))
    assert len(loader) == 0
    assert list(loader) == []


@pytest.mark.parametrize('context', ['pair', 'mention'])
def test_mentions_without_candidates(world, context):
    loader = CandidateLoader(world.tables, Candidates.from_lists([[]] * 6), context=context)
    batches = list(loader)
    assert len(batches) == len(loader) == 1
    assert batches[0].num_graphs == (6 if context == 'mention' else 0)
    assert batches[0].entity.numel() == 0


def test_every_pair_is_loaded_once(world):
    for max_pairs in (1, 4, 100):
        batches = list(CandidateLoader(world.tables, world.candidates, max_pairs=max_pairs, shuffle=True))
        pairs = sorted((m, e) for b in batches for m, e in zip(b.mention.tolist(), b.entity.tolist(), strict=True))
        assert pairs == sorted((m, e) for m, entities in enumerate(LISTS) for e in entities)


@pytest.mark.parametrize('shuffle', [False, True])
@pytest.mark.parametrize('processes', [1, 2, 3])
def test_shares_divide_every_batch(processes, shuffle):
    whole = PairBudgetSampler(COUNTS, 8, shuffle, 3)
    shares = [PairBudgetSampler(COUNTS, 8, shuffle, 3, (i, processes)) for i in range(processes)]
    for sampler in (whole, *shares):
        sampler.set_epoch(2)
    assert {len(sampler) for sampler in shares} == {len(whole)}
    for batch, *parts in zip(whole, *shares, strict=True):
        assert sorted(row for part in parts for row in part) == sorted(batch)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize('share', [(2, 2), (-1, 2), (0, 0)])
def test_no_such_share(share):
    with pytest.raises(ValueError, match=r"'share' must be \(i, n\) with 0 <= i < n"):
        PairBudgetSampler(COUNTS, 8, share=share)
