r"""`DRINConv` for link prediction on a bipartite graph: which lower half of a handwritten digit fits an upper half?

The pictures are those of scikit-learn (`load_digits`, 1797 of 8 x 8 pixels). Vertices are upper halves of one half
of the pictures and lower halves of the other; an edge says that somebody took two for the same digit, and is wrong
in two of five cases. Training sees edges alone, never a digit or which edge is wrong. What is tested: pairs of the
same digit against pairs of two digits that are no edge of the graph. The pairs of a third of the upper halves choose
learning rate and epoch of each model; those of the others are reported.

Mini-batches come from PyG's `LinkLoader`, which draws the negatives, with a sampler in plain PyTorch:
`LinkNeighborLoader` is the same loader with the compiled sampler of pyg-lib, which has to be installed apart and
follows edges one way only.
"""

from copy import deepcopy

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.loader import LinkLoader
from torch_geometric.nn import Linear
from torch_geometric.sampler import BaseSampler, EdgeSamplerInput, HeteroSamplerOutput, NegativeSampling
from torch_geometric.sampler.neighbor_sampler import edge_sample

from drin_pyg import DRINConv

UPPER, LOWER = 'upper', 'lower'
FITS = (UPPER, 'fits', LOWER)
METADATA = ([UPPER, LOWER], [FITS])
RATES = (0.002, 0.01)  # learning rates to choose from


def make_graph(degree: int = 10, wrong: float = 0.4, seed: int = 0) -> HeteroData:
    """Halves of digits, `degree` edges for each upper half, and pairs for validation and test: no upper half is in
    both."""
    generator = torch.Generator().manual_seed(seed)
    digits = load_digits()
    picture, digit = torch.tensor(digits.data / 16, dtype=torch.float), torch.tensor(digits.target)
    order = torch.randperm(digit.numel(), generator=generator)
    upper, lower = order[:900], order[900:]
    data = HeteroData()
    data[UPPER].x, data[UPPER].y = picture[upper, :32], digit[upper]
    data[LOWER].x, data[LOWER].y = picture[lower, 32:], digit[lower]
    same = (data[UPPER].y.unsqueeze(1) == data[LOWER].y).float()                               # [N_upper, N_lower]

    def draw(weight: Tensor, count: int) -> Tensor:
        end = torch.multinomial(weight, count, generator=generator)                            # [N_upper, count]
        return torch.stack([torch.arange(len(end)).repeat_interleave(count), end.flatten()])

    num_wrong = round(degree * wrong)
    edges = torch.cat([draw(same, degree - num_wrong), draw(1 - same, num_wrong)], dim=1)      # [2, E]
    data[FITS].edge_index = edges
    data[FITS].edge_weight = torch.full((edges.size(1), ), 0.5)
    unknown = torch.ones_like(same)
    unknown[edges[0], edges[1]] = 0
    pairs = torch.cat([draw(same * unknown + 1e-12, 3), draw((1 - same) * unknown + 1e-12, 3)], dim=1)
    val = pairs[0] < 300
    for name, part in (('val', pairs[:, val]), ('test', pairs[:, ~val])):
        data[f'{name}_index'], data[f'{name}_label'] = part, same[part[0], part[1]]
    return data


class NeighborhoodSampler(BaseSampler):
    """The edges within `hops` of the vertices of a batch, at most `num_neighbors` per vertex and hop, both ways."""

    def __init__(self, data: HeteroData, num_neighbors: int, hops: int):
        self.edge_index, self.num_nodes = data[FITS].edge_index, {t: data[t].num_nodes for t in METADATA[0]}
        self.num_neighbors = num_neighbors
        self.hops = hops

    def sample_from_edges(self, index: EdgeSamplerInput, neg_sampling: NegativeSampling | None = None):
        """PyG draws the negatives and asks for the neighbourhood of all their ends."""
        return edge_sample(index, self._sample, self.num_nodes, disjoint=False, node_time=None,
                           neg_sampling=neg_sampling)

    def sample_from_nodes(self, index, **kwargs):
        """Not needed for links."""
        raise NotImplementedError("This sampler is for links")

    def _sample(self, seed: dict[str, Tensor], seed_time=None) -> HeteroSamplerOutput:
        taken = torch.zeros(self.edge_index.size(1), dtype=torch.bool)
        front = {t: torch.zeros(n, dtype=torch.bool) for t, n in self.num_nodes.items()}
        for node_type, node in seed.items():
            front[node_type][node] = True
        for _ in range(self.hops):
            for end, node_type in enumerate(METADATA[0]):
                order = torch.randperm(taken.numel())
                order = order[self.edge_index[end, order].argsort(stable=True)]                # by vertex, shuffled
                owner = self.edge_index[end, order]
                first = F.pad(torch.bincount(owner, minlength=self.num_nodes[node_type]).cumsum(0), (1, 0))[owner]
                place = torch.arange(owner.numel()) - first
                taken[order[front[node_type][owner] & (place < self.num_neighbors)]] = True
            for end, node_type in enumerate(METADATA[0]):
                front[node_type][self.edge_index[end, taken]] = True
        node, ends = {}, []
        for end, node_type in enumerate(METADATA[0]):  # seeds first, in their order: labels refer to it
            known = seed.get(node_type, torch.empty(0, dtype=torch.long))
            rest = front[node_type].clone()
            rest[known] = False
            node[node_type] = torch.cat([known, rest.nonzero().flatten()])
            number = torch.empty(self.num_nodes[node_type], dtype=torch.long)
            number[node[node_type]] = torch.arange(node[node_type].numel())
            ends.append(number[self.edge_index[end, taken]])
        return HeteroSamplerOutput(node, {FITS: ends[0]}, {FITS: ends[1]}, {FITS: taken.nonzero().flatten()})


class LinkNet(torch.nn.Module):
    """Encoders, dynamic layers, and the scalar product of two vertices; without layers, two towers."""

    def __init__(self, num_layers: int = 2, dynamic: bool = True, hidden_channels: int = 64):
        super().__init__()
        self.encoders = torch.nn.ModuleDict({t: Linear(-1, hidden_channels) for t in METADATA[0]})
        self.convs = torch.nn.ModuleList([
            DRINConv(hidden_channels, hidden_channels, METADATA, dynamic=dynamic, shared=False, residual=True,
                     out_edge_types=[FITS] if depth < num_layers - 1 else []) for depth in range(num_layers)])
        self.lins = torch.nn.ModuleDict({t: Linear(hidden_channels, hidden_channels) for t in METADATA[0]})

    def forward(self, data: HeteroData, link: Tensor) -> Tensor:
        """Scores of the links ``[2, B]``."""
        x_dict = self.vertices(data)[0]
        return (x_dict[UPPER][link[0]] * x_dict[LOWER][link[1]]).sum(-1)

    def vertices(self, data: HeteroData) -> tuple[dict, list[Tensor]]:
        """The last vertices, and the edge weights that enter each layer."""
        x_dict = {t: F.gelu(lin(data[t].x)) for t, lin in self.encoders.items()}
        weights, trace = data.edge_weight_dict, []
        for conv in self.convs:
            trace.append(weights[FITS])
            x_dict, weights = conv(x_dict, data.edge_index_dict, weights)
        return {t: lin(x_dict[t]) for t, lin in self.lins.items()}, trace


def fit(model: LinkNet, data: HeteroData, lr: float, epochs: int = 16, seed: int = 0) -> float:
    """Trains on the edges against random pairs; an edge that is asked for is not there to be read.

    Leaves the model as it was after the epoch that was best on the validation pairs, and returns its ROC-AUC there.
    """
    torch.manual_seed(seed)
    shuffled = torch.randperm(data[FITS].num_edges)
    asked, read = shuffled[:len(shuffled) // 2], shuffled[len(shuffled) // 2:]
    graph = data.edge_subgraph({FITS: read.sort().values})
    sampler = NeighborhoodSampler(graph, num_neighbors=10, hops=len(model.convs))
    loader = LinkLoader(graph, sampler, (FITS, data[FITS].edge_index[:, asked]), neg_sampling='binary',
                        batch_size=256, shuffle=True)
    optimizer, best, state = None, 0.0, {}
    for _ in range(epochs):
        for batch in loader:
            score = model(batch, batch[FITS].edge_label_index)
            if optimizer is None:  # lazy sizes
                optimizer = torch.optim.Adam(model.parameters(), lr=lr)
            optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(score, batch[FITS].edge_label).backward()
            optimizer.step()
        if (found := auc(model, data, 'val')) > best:
            best, state = found, deepcopy(model.state_dict())
    model.load_state_dict(state)
    return best


@torch.no_grad()
def auc(model: LinkNet, data: HeteroData, name: str) -> float:
    """ROC-AUC on the pairs called ``name``, which see all edges of the graph."""
    return float(roc_auc_score(data[f'{name}_label'], model(data, data[f'{name}_index'])))


def run(seed: int = 0, epochs: int = 16, rates: tuple[float, ...] = RATES) -> dict[str, float]:
    """ROC-AUC of each model on the test pairs, and of the learned edge weights on right edges against wrong ones."""
    data = make_graph()
    u, v = data.test_index
    cosine = F.cosine_similarity(data[UPPER].x[u], data[LOWER].x[v])
    found = {'cosine of the pixels': float(roc_auc_score(data.test_label, cosine))}
    for name, options in (('two towers, no graph', {'num_layers': 0}), ('static layers', {'dynamic': False}),
                          ('dynamic layers', {})):
        models = []
        for lr in rates:
            torch.manual_seed(seed)
            models.append((model := LinkNet(**options), fit(model, data, lr, epochs, seed)))
        model, _ = max(models, key=lambda pair: pair[1])
        found[name] = auc(model, data, 'test')
    with torch.no_grad():
        weight = model.vertices(data)[1][1]
    right = data[UPPER].y[data[FITS].edge_index[0]] == data[LOWER].y[data[FITS].edge_index[1]]
    found['its edge weights: right edges against wrong ones'] = float(roc_auc_score(right, weight))
    return found


def main() -> None:
    """Prints the figures."""
    print('ROC-AUC')
    for name, value in run().items():
        print(f'  {name:<50}{value:.3f}')


if __name__ == '__main__':
    main()
