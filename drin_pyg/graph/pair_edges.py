from torch_geometric.data import HeteroData
from torch_geometric.transforms import BaseTransform

from drin_pyg.graph.candidate_batch import pair_of_edge
from drin_pyg.vocabulary import EDGE_TYPES


class PairEdges(BaseTransform):
    r"""Says of every edge of the paper's four relations which pair it belongs to.

    For models that take any relations, such as :class:`~drin_pyg.nn.HeteroDRIN`: each edge store of the
    batch gets ``pair``, int64 ``[E]`` (:func:`~drin_pyg.graph.pair_of_edge`). Give it to
    :class:`~drin_pyg.graph.CandidateLoader` as ``transform``, alone or in a
    :class:`~torch_geometric.transforms.Compose` with those that add vertices.
    """

    def forward(self, data: HeteroData) -> HeteroData:
        for edge_type in EDGE_TYPES:
            data[edge_type].pair = pair_of_edge(data, edge_type)
        return data
