r"""The dynamic relation layers: pure PyG, no file, no dataset, no command line."""

from drin_pyg.nn.batch_scorer import BatchScorer
from drin_pyg.nn.drin import DRIN
from drin_pyg.nn.drin_conv import DRINConv
from drin_pyg.nn.edge_rule import EdgeRule
from drin_pyg.nn.hetero_drin import HeteroDRIN, start_extra
from drin_pyg.nn.relation_conv import RelationConv

__all__ = ['DRIN', 'BatchScorer', 'DRINConv', 'EdgeRule', 'HeteroDRIN', 'RelationConv', 'start_extra']
