r"""Multimodal entity linking with dynamic relation graphs (DRIN) on PyTorch Geometric.

The package is laid out as the data flows: :mod:`~drin_pyg.datasets` (records),
:mod:`~drin_pyg.features` (tables), :mod:`~drin_pyg.graph` (typed graphs), :mod:`~drin_pyg.nn`
(layers and model), :mod:`~drin_pyg.training`, :mod:`~drin_pyg.linking`,
:mod:`~drin_pyg.evaluation`.
"""

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
