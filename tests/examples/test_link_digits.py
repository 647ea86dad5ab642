from copy import deepcopy

import link_digits
import pytest
import torch
from link_digits import FITS, LOWER, UPPER
from torch_geometric.loader import LinkLoader


def test_the_graph_helps():
    auc = link_digits.run(epochs=10)
    assert auc['dynamic layers'] > auc['two towers, no graph'] + 0.02
    assert auc['static layers'] > auc['two towers, no graph'] + 0.02
    assert auc['two towers, no graph'] > auc['cosine of the pixels'] + 0.2


@pytest.mark.parametrize('name', ['val', 'test'])
def test_no_pair_is_an_edge(name):
    data = link_digits.make_graph()
    edges = set(zip(*data[FITS].edge_index.tolist(), strict=True))
    pairs = list(zip(*data[f'{name}_index'].tolist(), strict=True))
    assert not edges & set(pairs)
    same = [float(data[UPPER].y[u] == data[LOWER].y[v]) for u, v in pairs]
    assert data[f'{name}_label'].tolist() == same
    assert sum(same) == len(same) / 2


def test_what_is_reported_chose_nothing():
    data = link_digits.make_graph()
    chosen, reported = set(data.val_index[0].tolist()), set(data.test_index[0].tolist())
    assert not chosen & reported
    assert len(chosen) + len(reported) == data[UPPER].num_nodes


def test_the_best_epoch_on_validation_is_kept(monkeypatch):
    data, asked, states, scripted = link_digits.make_graph(degree=4), [], [], [0.6, 0.8, 0.7, 0.8]

    def watch(model, data, name):
        asked.append(name)
        states.append(deepcopy(model.state_dict()))
        return scripted[len(asked) - 1]

    monkeypatch.setattr(link_digits, 'auc', watch)
    model = link_digits.LinkNet(num_layers=0)
    assert link_digits.fit(model, data, lr=0.01, epochs=4) == 0.8
    assert asked == ['val'] * 4
    kept = [all(value.equal(state[name]) for name, value in model.state_dict().items()) for state in states]
    assert kept == [False, True, False, False]  # the earlier of two that are equal


def neighborhood(edge_index, seeds, hops):
    """Edges within `hops` of the seeds, in plain loops."""
    front, taken = set(seeds), set()
    ends = list(zip(*edge_index.tolist(), strict=True))
    for _ in range(hops):
        hit = {i for i, (u, v) in enumerate(ends) if (UPPER, u) in front or (LOWER, v) in front}
        taken |= hit
        front |= {(UPPER, ends[i][0]) for i in hit} | {(LOWER, ends[i][1]) for i in hit}
    return taken, front


@pytest.mark.parametrize('hops', [1, 2])
def test_batches_hold_the_neighborhood_of_their_links(hops):
    data = link_digits.make_graph(degree=5)
    for num_neighbors in (1000, 2):
        sampler = link_digits.NeighborhoodSampler(data, num_neighbors, hops)
        loader = LinkLoader(data, sampler, (FITS, data[FITS].edge_index[:, :6]), neg_sampling='binary', batch_size=3)
        for batch in loader:
            store = batch[FITS]
            ends = [batch[t].n_id[store.edge_label_index[i]].tolist() for i, t in enumerate((UPPER, LOWER))]
            asked = list(zip(*ends, strict=True))
            assert set(asked[:3]) <= set(zip(*data[FITS].edge_index[:, :6].tolist(), strict=True))
            assert store.edge_label.tolist() == [1.0] * 3 + [0.0] * 3
            seeds = {(UPPER, u) for u, _ in asked} | {(LOWER, v) for _, v in asked}
            taken, front = neighborhood(data[FITS].edge_index, seeds, hops)
            nodes = {(t, int(n)) for t in (UPPER, LOWER) for n in batch[t].n_id}
            if num_neighbors == 1000:
                assert set(store.e_id.tolist()) == taken
                assert nodes == front
            else:  # a part of it, of which a vertex of the batch draws two at most
                assert set(store.e_id.tolist()) < taken
                assert len(store.e_id) <= 2 * len(nodes)
                assert seeds <= nodes < front
            both = torch.stack([batch[UPPER].n_id[store.edge_index[0]], batch[LOWER].n_id[store.edge_index[1]]])
            assert both.equal(data[FITS].edge_index[:, store.e_id])
            assert batch[UPPER].x.equal(data[UPPER].x[batch[UPPER].n_id])


def test_gradients_reach_every_parameter():
    data = link_digits.make_graph()
    model = link_digits.LinkNet()
    model(data, data.test_index).square().sum().backward()
    # A residual layer starts by changing nothing: the rest is reached after the first step.
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for _ in range(3):
        optimizer.step()
        optimizer.zero_grad()
        model(data, data.test_index).square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
