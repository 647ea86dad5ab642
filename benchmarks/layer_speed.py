r"""Speed of the sparse products and of one layer, against the other ways PyG offers.

python benchmarks/layer_speed.py [--mentions 64] [--candidates 100] [--dim 256] [--rounds 9]
"""

import argparse

import torch
from timing import compare, show, show_machine
from torch_geometric import EdgeIndex
from torch_geometric.nn import GATv2Conv, HeteroConv, HGTConv, TransformerConv

from drin_pyg import EDGE_TYPES, METADATA, NODE_TYPES, DRINConv
from drin_pyg.nn.sparse import sddmm, spmm


def main() -> None:
    """Parses, runs, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--mentions', type=int, default=64)
    parser.add_argument('--candidates', type=int, default=100, help='candidates of a mention')
    parser.add_argument('--dim', type=int, default=256)
    parser.add_argument('--rounds', type=int, default=9)
    arguments = parser.parse_args()
    show_machine()
    torch.manual_seed(0)
    num_mentions, num_pairs = arguments.mentions, arguments.mentions * arguments.candidates
    src, dst = torch.arange(num_mentions).repeat_interleave(arguments.candidates), torch.arange(num_pairs)
    print(f'{num_mentions} mentions, {num_pairs} pairs, width {arguments.dim}')

    x = torch.randn(num_pairs, arguments.dim, requires_grad=True)
    a = torch.randn(num_mentions, arguments.dim, requires_grad=True)
    weight = torch.rand(num_pairs, requires_grad=True)
    edge_index = EdgeIndex(torch.stack([src, dst]), sparse_size=(num_mentions, num_pairs), sort_order='row')

    def csr():
        matrix = torch.sparse_coo_tensor(torch.stack([src, dst]), weight, (num_mentions, num_pairs)).to_sparse_csr()
        (matrix @ x).sum().backward()

    show('Weighted sum over candidates, forward and backward', compare({
        'ours (SpMM with SDDMM gradient)': lambda: spmm(src, dst, weight, x, num_mentions).sum().backward(),
        'messages and index_add': lambda: torch.zeros(num_mentions, arguments.dim).index_add(
            0, src, x[dst] * weight.unsqueeze(-1)).sum().backward(),
        'torch.sparse CSR': csr,
        'EdgeIndex.matmul': lambda: edge_index.matmul(x, input_value=weight).sum().backward(),
    }, arguments.rounds))
    show('Inner product of both ends of each edge, forward and backward', compare({
        'ours (SDDMM with SpMM gradient)': lambda: sddmm(src, dst, a, x).sum().backward(),
        'gather, multiply, sum': lambda: (a[src] * x[dst]).sum(-1).sum().backward(),
    }, arguments.rounds))

    sizes = dict(zip(NODE_TYPES, (num_mentions, num_mentions, num_pairs, num_pairs), strict=True))
    x_dict = {t: torch.randn(n, arguments.dim) for t, n in sizes.items()}
    edge_index_dict = {t: torch.stack([src, dst]) for t in EDGE_TYPES}
    weight_dict = {t: torch.rand(num_pairs) for t in EDGE_TYPES}
    both_index = edge_index_dict | {(t[2], f'rev_{t[1]}', t[0]): e.flip([0]) for t, e in edge_index_dict.items()}
    both_attr = {t: weight_dict.get(t, next(iter(weight_dict.values()))).unsqueeze(-1) for t in both_index}
    drin = DRINConv(arguments.dim, arguments.dim)
    gat, transformer = (HeteroConv({t: conv((arguments.dim, arguments.dim), arguments.dim, edge_dim=1, **options)
                                    for t in both_index}) for conv, options in
                        ((GATv2Conv, {'add_self_loops': False}), (TransformerConv, {})))
    hgt = HGTConv(arguments.dim, arguments.dim, (METADATA[0], list(both_index)))

    def step(run):
        def both():
            out = run()
            sum(h.square().sum() for h in out.values()).backward()
        return both

    show('One layer over all four relations, forward and backward', compare({
        'DRINConv (vertices and edges)': step(lambda: _both(drin(x_dict, edge_index_dict, weight_dict))),
        'HeteroConv of GATv2Conv with edge attributes': step(lambda: gat(x_dict, both_index, edge_attr_dict=both_attr)),
        'HeteroConv of TransformerConv': step(lambda: transformer(x_dict, both_index, edge_attr_dict=both_attr)),
        'HGTConv (no edge attributes)': step(lambda: hgt(x_dict, both_index)),
    }, arguments.rounds))


def _both(out: tuple[dict, dict]) -> dict:
    """Vertices and edges of a layer's output, all of which a loss then reads."""
    return out[0] | out[1]


if __name__ == '__main__':
    main()
