"""Small random graphs for the layer tests: ragged, with missing vertices, duplicated edges and isolated vertices."""

from dataclasses import dataclass

import torch

from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_IMAGE, ENTITY_TEXT, MENTION_IMAGE, MENTION_TEXT, METADATA

USER_ITEM = (['user', 'item', 'tag'],
             [('user', 'rates', 'item'), ('user', 'follows', 'user'), ('item', 'has', 'tag')])


@dataclass
class Problem:
    metadata: tuple
    x: dict
    edge_index: dict
    edge_weight: dict

    @property
    def args(self):
        return self.x, self.edge_index, self.edge_weight

    @property
    def inputs(self):
        """The tensors to differentiate by."""
        return [*self.x.values(), *self.edge_weight.values()]


def pair_problem(channels, edge_dim=None, dtype=torch.float64):
    """Three mentions with 3, 0 and 4 candidates; 0 to 2 images on either side; complete bipartite within a mention."""
    generator = torch.Generator().manual_seed(1)
    owners = {  # mention of each vertex
        MENTION_TEXT: [0, 1, 2],
        MENTION_IMAGE: [0, 0, 1],            # mention 2 has no image
        ENTITY_TEXT: [0, 0, 0, 2, 2, 2, 2],  # mention 1 has no candidate
        ENTITY_IMAGE: [0, 0, 2, 2, 2],
    }
    edges = {}
    for edge_type in EDGE_TYPES:
        src, _, dst = edge_type
        edges[edge_type] = [(i, j) for i, a in enumerate(owners[src]) for j, b in enumerate(owners[dst]) if a == b]
    sizes = {node_type: len(owner) for node_type, owner in owners.items()}
    return _problem(METADATA, sizes, edges, channels, edge_dim, dtype, generator)


def user_item_problem(channels, edge_dim=None, dtype=torch.float64):
    """Another metadata: edges inside one node type with a loop, a duplicate, no order, isolated vertices."""
    generator = torch.Generator().manual_seed(2)
    edges = {
        ('user', 'rates', 'item'): [(3, 0), (0, 2), (3, 0), (1, 1), (0, 0)],
        ('user', 'follows', 'user'): [(2, 0), (0, 2), (1, 1), (2, 3)],
        ('item', 'has', 'tag'): [(1, 0), (0, 0)],
    }
    return _problem(USER_ITEM, {'user': 5, 'item': 3, 'tag': 2}, edges, channels, edge_dim, dtype, generator)


PROBLEMS = {'pair': pair_problem, 'user_item': user_item_problem}


def _problem(metadata, sizes, edges, channels, edge_dim, dtype, generator):
    def randn(*size):
        return torch.randn(*size, dtype=dtype, generator=generator)

    width = () if edge_dim is None else (edge_dim,)
    return Problem(
        metadata,
        {node_type: randn(size, channels).requires_grad_() for node_type, size in sizes.items()},
        {edge_type: torch.tensor(ends).reshape(-1, 2).t().contiguous() for edge_type, ends in edges.items()},
        {edge_type: randn(len(ends), *width).requires_grad_() for edge_type, ends in edges.items()},
    )
