r"""Multimodal entity linking with dynamic relation graphs (DRIN) on PyTorch Geometric.

The package is laid out as the data flows: :mod:`~drin_pyg.datasets` (records),
:mod:`~drin_pyg.features` (tables), :mod:`~drin_pyg.graph` (typed graphs), :mod:`~drin_pyg.nn`
(layers and model), :mod:`~drin_pyg.evaluation`, :mod:`~drin_pyg.training`,
:mod:`~drin_pyg.linking`. The names below are loaded when they are first used, so that the command's
help need not wait for PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drin_pyg.features import Candidates, PairTables
    from drin_pyg.graph import candidate_batch, mention_graph, pair_graph
    from drin_pyg.nn import DRIN, DRINConv, RelationConv
    from drin_pyg.vocabulary import EDGE_TYPES, METADATA, NODE_TYPES, RELATIONS

__version__ = '0.1.0'

__all__ = [
    'DRIN',
    'EDGE_TYPES',
    'METADATA',
    'NODE_TYPES',
    'RELATIONS',
    'Candidates',
    'DRINConv',
    'PairTables',
    'RelationConv',
    'candidate_batch',
    'mention_graph',
    'pair_graph',
]

_HOME = {
    **dict.fromkeys(['DRIN', 'DRINConv', 'RelationConv'], 'drin_pyg.nn'),
    **dict.fromkeys(['EDGE_TYPES', 'METADATA', 'NODE_TYPES', 'RELATIONS'], 'drin_pyg.vocabulary'),
    **dict.fromkeys(['Candidates', 'PairTables'], 'drin_pyg.features'),
    **dict.fromkeys(['candidate_batch', 'mention_graph', 'pair_graph'], 'drin_pyg.graph'),
}


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
