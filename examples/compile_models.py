r"""`torch.compile` on models that hold DRIN's layers: one graph each, with the same numbers and gradients.

`fullgraph=True` turns a graph break into an error, so that what runs is whole: alone, in PyG's `Sequential` and
`HeteroConv`, and between two `HGTConv`. Lazy sizes must be known first, from one call in eager mode.

`python compile_models.py` traces and differentiates with the backend `aot_eager`, which takes seconds; `python
compile_models.py inductor` generates code as well, which takes minutes.
"""

import sys

import torch
from compose import DynamicNet, add_reverse, graph_args, make_graph
from hetero_conv import HeteroNet
from hgt_sandwich import Sandwich
from sequential import make_model
from torch._dynamo.utils import counters


def compare(model: torch.nn.Module, args: tuple, backend: str = 'aot_eager') -> dict[str, float]:
    """Number of graphs that a model compiles to, and the largest relative differences to eager mode."""
    expected = model(*args)
    torch._dynamo.reset()
    counters.clear()
    out = torch.compile(model, backend=backend, fullgraph=True)(*args)
    grads, wants = ([g for g in torch.autograd.grad(y.square().sum(), list(model.parameters()), allow_unused=True)
                     if g is not None] for y in (out, expected))
    return {
        'graphs': counters['stats']['unique_graphs'],
        'output': _difference([out], [expected]),
        'gradient': _difference(grads, wants),
    }


def _difference(actual: list, expected: list) -> float:
    scale = max(float(b.abs().max()) for b in expected)
    return max(float((a - b).abs().max()) for a, b in zip(actual, expected, strict=True)) / scale


def run(backend: str = 'aot_eager') -> dict[str, dict[str, float]]:
    """The models of the other examples."""
    data = make_graph()
    torch.manual_seed(0)
    models = {'DynamicNet (DRINConv)': DynamicNet(data.metadata()), 'Sequential of DRINConv': make_model(),
              'HeteroConv of RelationConv': HeteroNet(weighted=True), 'HGT, DRINConv, HGT': Sandwich(weighted=True)}
    args = graph_args(add_reverse(data))
    for model in models.values():
        model(*args)
    return {name: compare(model, args, backend) for name, model in models.items()}


def main() -> None:
    """Prints a line for each model."""
    print(f"{'':<30}{'graphs':>8}{'output':>10}{'gradient':>10}   (relative differences to eager mode)")
    for name, row in run(*sys.argv[1:2]).items():
        print(f"{name:<30}{row['graphs']:>8}{row['output']:>10.0e}{row['gradient']:>10.0e}")


if __name__ == '__main__':
    main()
