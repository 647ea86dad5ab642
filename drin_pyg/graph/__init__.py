r"""Feature tables and candidate lists to typed :class:`~torch_geometric.data.HeteroData` graphs."""

from drin_pyg.graph.candidate_batch import candidate_batch, forward_args, pair_of_edge
from drin_pyg.graph.extra_vertices import AddRegions, SplitEntity, SplitMention, text_rows
from drin_pyg.graph.link_candidates import LinkCandidates
from drin_pyg.graph.loader import CandidateLoader, PairBudgetSampler
from drin_pyg.graph.pair_edges import PairEdges
from drin_pyg.graph.pair_graph import mention_graph, pair_graph
from drin_pyg.graph.transforms import DropModality, DropRelation, KeepTopCandidates
from drin_pyg.graph.validate import validate

__all__ = [
    'AddRegions',
    'CandidateLoader',
    'DropModality',
    'DropRelation',
    'KeepTopCandidates',
    'LinkCandidates',
    'PairBudgetSampler',
    'PairEdges',
    'SplitEntity',
    'SplitMention',
    'candidate_batch',
    'forward_args',
    'mention_graph',
    'pair_graph',
    'pair_of_edge',
    'text_rows',
    'validate',
]
