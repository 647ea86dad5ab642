import torch
import torch.nn.functional as F
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.nn.module_dict import ModuleDict
from torch_geometric.typing import EdgeType, NodeType

from drin_pyg.nn.drin_conv import DRINConv
from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_TEXT, MENTION_TEXT, NODE_TYPES, TEXT_TEXT


class DRIN(torch.nn.Module):
    def __init__(
        self,
        in_channels: int | dict[NodeType, int] = -1,
        hidden_channels: int = 768,
        num_layers: int = 2,
        edge_types: list[EdgeType] = EDGE_TYPES,
        *,
        dynamic: bool = True,
        vector_edges: bool = False,
        shared: bool = True,
    ):
        super().__init__()
        self.in_channels = in_channels
        self.hidden_channels = hidden_channels
        self.num_layers = num_layers
        self.edge_types = [tuple(edge_type) for edge_type in edge_types]
        self.dynamic = dynamic
        self.vector_edges = vector_edges
        self.shared = shared

        # Backwards from what the score reads, each layer computes only what the next one needs.
        nodes, edges, layers = {MENTION_TEXT, ENTITY_TEXT}, set(), []
        for _ in range(num_layers):
            out_nodes, out_edges = nodes, edges
            used = {e for e in self.edge_types if e[0] in out_nodes or e[2] in out_nodes}
            ends = used | (out_edges if dynamic else set())
            nodes = out_nodes | {e[0] for e in ends} | {e[2] for e in ends}
            edges = used | out_edges
            layers.append(DRINConv(
                hidden_channels,
                hidden_channels,
                metadata=([t for t in NODE_TYPES if t in nodes], [e for e in EDGE_TYPES if e in edges]),
                dynamic=dynamic,
                edge_dim=hidden_channels if vector_edges else None,
                shared=shared,
                out_node_types=[t for t in NODE_TYPES if t in out_nodes],
                out_edge_types=[e for e in EDGE_TYPES if e in out_edges],
            ))
        self.convs = torch.nn.ModuleList(reversed(layers))
        channels = in_channels if isinstance(in_channels, dict) else dict.fromkeys(NODE_TYPES, in_channels)
        self.encoders = ModuleDict({t: Linear(channels[t], hidden_channels) for t in NODE_TYPES if t in nodes})
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for module in (*self.encoders.values(), *self.convs):
            module.reset_parameters()

    def forward(self, x_dict, edge_index_dict, edge_weight_dict, row_dict=None, return_edge_weights=False):
        x_dict = {t: encoder(x_dict[t]) for t, encoder in self.encoders.items()}
        if self.vector_edges:
            edge_weight_dict = {e: w.unsqueeze(-1).expand(-1, self.hidden_channels) for e, w in edge_weight_dict.items()}
        history = [edge_weight_dict]
        for conv in self.convs:
            x_dict, edge_weight_dict = conv(x_dict, edge_index_dict, edge_weight_dict, row_dict)
            row_dict = None
            history.append(edge_weight_dict)
        src, dst = edge_index_dict[TEXT_TEXT][0], edge_index_dict[TEXT_TEXT][1]
        mention = F.normalize(x_dict[MENTION_TEXT], dim=-1)
        entity = F.normalize(x_dict[ENTITY_TEXT], dim=-1)
        scores = (mention[src] * entity[dst]).sum(-1)
        return (scores, history) if return_edge_weights else scores

    @classmethod
    def published(cls, **kwargs):
        return cls(**kwargs)
