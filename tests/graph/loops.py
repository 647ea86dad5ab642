"""What the transforms add to a batch, built graph by graph and pair by pair in plain loops."""

from dataclasses import dataclass, field

import torch

from drin_pyg.vocabulary import ENTITY_IMAGE, ENTITY_TEXT


@dataclass
class Vertices:
    x: list = field(default_factory=list)      # features of each vertex
    graph: list = field(default_factory=list)  # graph of each vertex
    pair: list = field(default_factory=list)   # pair of each vertex on the entity side


def graphs_of(world, mentions, context):
    """The graphs of a batch in order: mention and its (pair number, entity) list."""
    graphs, pair = [], 0
    ptr, entity = world.candidates.ptr.tolist(), world.candidates.entity.tolist()
    for m in mentions:
        own = [(pair + i, e) for i, e in enumerate(entity[ptr[m]:ptr[m + 1]])]
        pair += len(own)
        graphs += [(m, [one]) for one in own] if context == 'pair' else [(m, own)]
    return graphs


def mention_side(graphs, table, ptr=None):
    """Vertices of the mentions that have a pair."""
    found = Vertices()
    for g, (m, own) in enumerate(graphs):
        rows = [m] if ptr is None else range(int(ptr[m]), int(ptr[m + 1]))
        for row in rows if own else ():
            found.x.append(table[row])
            found.graph.append(g)
    return found


def entity_side(graphs, table, ptr=None):
    """Vertices of the candidates: one a pair, or its images."""
    found = Vertices()
    for g, (_, own) in enumerate(graphs):
        for pair, e in own:
            for row in [e] if ptr is None else range(int(ptr[e]), int(ptr[e + 1])):
                found.x.append(table[row])
                found.graph.append(g)
                found.pair.append(pair)
    return found


def cosine(a, b):
    return float((a * b).sum() / (a.norm() * b.norm()))


def edges(src, dst):
    """Every edge: (source, destination) to (cosine of the two ends, pair)."""
    return {(i, j): (cosine(src.x[i], dst.x[j]), dst.pair[j]) for i in range(len(src.x)) for j in range(len(dst.x))
            if src.graph[i] == dst.graph[j]}


def texts(graphs, world):
    return entity_side(graphs, world.tables.x[ENTITY_TEXT])


def images(graphs, world):
    return entity_side(graphs, world.tables.x[ENTITY_IMAGE], world.tables.ptr[ENTITY_IMAGE])


def assert_vertices(batch, node_type, expected):
    store, num_graphs = batch[node_type], batch.num_graphs
    x = store.x[store.row] if 'row' in store else store.x
    assert store.num_nodes == len(expected.x)
    assert x.size(0) == len(expected.x)
    for row, given in zip(x, expected.x, strict=True):
        assert row.equal(given)
    assert store.batch.tolist() == expected.graph
    assert store.ptr.tolist() == [sum(g < i for g in expected.graph) for i in range(num_graphs + 1)]


def assert_edges(batch, edge_type, expected):
    store = batch[edge_type]
    ends = list(zip(*store.edge_index.tolist(), strict=True))
    assert sorted(ends) == sorted(expected)
    torch.testing.assert_close(store.edge_weight, torch.tensor([expected[end][0] for end in ends]), rtol=0, atol=1e-5)
    assert store.pair.dtype == torch.long
    assert store.pair.tolist() == [expected[end][1] for end in ends]
