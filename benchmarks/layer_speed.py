r"""Speed of the sparse products and of one layer, forward and backward, against the other ways PyG offers.

python benchmarks/layer_speed.py --json layer.jsonl --plot layer.png
"""

from collections.abc import Callable, Sequence

import torch
from torch_geometric import EdgeIndex
from torch_geometric.nn import GATv2Conv, HeteroConv, HGTConv, TransformerConv

from arguments import make_parser, parse
from drin_pyg import EDGE_TYPES, METADATA, NODE_TYPES, DRINConv
from drin_pyg.nn.sparse import sddmm, spmm
from plots import bars
from report import Report
from timing import compare


def main(argv: Sequence[str] | None = None) -> None:
    """Parses, runs, prints, writes."""
    parser = make_parser(__doc__, dim=256, layers=None, context=None)
    arguments = parse(parser, argv, mentions=3, candidates=4, dim=16, rounds=3)
    report = Report('layer_speed', arguments)
    to = {'device': arguments.device, 'dtype': arguments.dtype}
    num_mentions, num_pairs = arguments.mentions, arguments.mentions * arguments.candidates
    src = torch.arange(num_mentions, device=arguments.device).repeat_interleave(arguments.candidates)
    dst = torch.arange(num_pairs, device=arguments.device)

    x = torch.randn(num_pairs, arguments.dim, **to, requires_grad=True)
    a = torch.randn(num_mentions, arguments.dim, **to, requires_grad=True)
    weight = torch.rand(num_pairs, **to, requires_grad=True)
    edge_index = EdgeIndex(torch.stack([src, dst]), sparse_size=(num_mentions, num_pairs), sort_order='row')

    def csr() -> None:
        matrix = torch.sparse_coo_tensor(torch.stack([src, dst]), weight, (num_mentions, num_pairs)).to_sparse_csr()
        (matrix @ x).sum().backward()

    weighted_sum = {
        'ours (SpMM with SDDMM gradient)': lambda: spmm(src, dst, weight, x, num_mentions).sum().backward(),
        'messages and index_add': lambda: torch.zeros(num_mentions, arguments.dim, **to).index_add(
            0, src, x[dst] * weight.unsqueeze(-1)).sum().backward(),
    }
    if arguments.dtype in (torch.float32, torch.float64):  # PyTorch has no such kernels for the others
        weighted_sum |= {'torch.sparse CSR': csr,
                         'EdgeIndex.matmul': lambda: edge_index.matmul(x, input_value=weight).sum().backward()}
    inner_product = {
        'ours (SDDMM with SpMM gradient)': lambda: sddmm(src, dst, a, x).sum().backward(),
        'gather, multiply, sum': lambda: (a[src] * x[dst]).sum(-1).sum().backward(),
    }

    sizes = dict(zip(NODE_TYPES, (num_mentions, num_mentions, num_pairs, num_pairs), strict=True))
    x_dict = {t: torch.randn(n, arguments.dim, **to) for t, n in sizes.items()}
    edge_index_dict = {t: torch.stack([src, dst]) for t in EDGE_TYPES}
    weight_dict = {t: torch.rand(num_pairs, **to) for t in EDGE_TYPES}
    both_index = edge_index_dict | {(t[2], f'rev_{t[1]}', t[0]): e.flip([0]) for t, e in edge_index_dict.items()}
    both_attr = {t: weight_dict.get(t, next(iter(weight_dict.values()))).unsqueeze(-1) for t in both_index}
    drin = DRINConv(arguments.dim, arguments.dim).to(**to)
    gat, transformer = (HeteroConv({t: conv((arguments.dim, arguments.dim), arguments.dim, edge_dim=1, **options)
                                    for t in both_index}).to(**to) for conv, options in
                        ((GATv2Conv, {'add_self_loops': False}), (TransformerConv, {})))
    hgt = HGTConv(arguments.dim, arguments.dim, (METADATA[0], list(both_index))).to(**to)
    layer = {
        'DRINConv (vertices and edges)': step(lambda: both(drin(x_dict, edge_index_dict, weight_dict))),
        'HeteroConv of GATv2Conv, edge attributes': step(lambda: gat(x_dict, both_index, edge_attr_dict=both_attr)),
        'HeteroConv of TransformerConv': step(lambda: transformer(x_dict, both_index, edge_attr_dict=both_attr)),
        'HGTConv (no edge attributes)': step(lambda: hgt(x_dict, both_index)),
    }

    panels = {}
    for title, sides in (('Weighted sum over candidates', weighted_sum),
                         ('Inner product of both ends of each edge', inner_product),
                         ('One layer over all four relations', layer)):
        panels[title] = compare(sides, arguments.rounds, device=arguments.device, title=title)
        report.add(title, panels[title], num_pairs=num_pairs)
    if arguments.plot is not None:
        bars(arguments.plot, 'forward and backward pass', panels)


def step(run: Callable[[], dict]) -> Callable[[], None]:
    r"""A function that runs a layer forward and backward."""
    def forward_and_backward() -> None:
        sum(h.square().sum() for h in run().values()).backward()

    return forward_and_backward


def both(out: tuple[dict, dict]) -> dict:
    r"""Vertices and edges of a layer's output, all of which a loss then reads."""
    return out[0] | out[1]


if __name__ == '__main__':
    main()
