r"""DRIN as it was published to be computed: dense, every candidate by itself, every product written out.

What the fast paths of the package are measured against. It is implemented from the paper's formulas.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import LayerNorm, Linear, ModuleDict, ModuleList

from drin_pyg.features import Candidates, PairTables
from drin_pyg.nn import DRIN
from drin_pyg.vocabulary import EDGE_TYPES, MENTION_TYPES, NODE_TYPES


class DenseDRIN(torch.nn.Module):
    r"""The model of :meth:`DRIN.published` over dense ``[M, K, D]`` tensors.

    A step multiplies each candidate by the vertex encoders and, in every layer, both of its vertices by
    :math:`\mathbf{W}_h` and one vertex for each of the four relations by :math:`\mathbf{W}_v`:
    :math:`6 D^2` multiply-adds. As published, the last layer also computes what no score reads: the
    vertices of the images, and new edge weights.

    Args:
        model: From :meth:`DRIN.published` with at least one layer, all relations and scalar edges, its
            widths known. Its parameters are copied; edge rules it does not have (nothing reads them) are random.
        context: ``"pair"`` or ``"mention"``.

    Raises:
        ValueError: If the model is another one.
    """

    def __init__(self, model: DRIN, context: str):
        super().__init__()
        if not is_published(model):
            raise ValueError("The dense implementation knows the published model alone: DRIN.published() with at "
                             "least one layer, all relations and scalar edges")
        width = model.hidden_channels
        self.context = context
        self.dynamic = model.dynamic
        self.encoders = ModuleDict({t: Linear(model.encoders[t].in_channels, width) for t in NODE_TYPES})
        self.layers = ModuleList(ModuleDict({'w_h': Linear(width, width), 'norm': LayerNorm(width),
                                             'w_u': Linear(width, width), 'w_v': Linear(width, width)})
                                 for _ in model.convs)
        parameter = next(model.parameters())
        self.to(parameter.device, parameter.dtype)  # before copying, which would round to float32
        for node_type, encoder in self.encoders.items():
            encoder.load_state_dict(model.encoders[node_type].state_dict())
        for layer, conv in zip(self.layers, model.convs, strict=True):
            layer['w_h'].load_state_dict(conv.lins['shared'].state_dict())
            layer['norm'].load_state_dict(conv.norms['shared'].state_dict())
            if 'shared' in conv.edge_rules:
                layer['w_u'].load_state_dict(conv.edge_rules['shared'].lin_u.state_dict())
                layer['w_v'].load_state_dict(conv.edge_rules['shared'].lin_v.state_dict())

    def forward(self, x: dict[str, Tensor], weight: dict[tuple, Tensor]) -> Tensor:
        r"""Scores candidates; all mentions have the same number of them, and every vertex is there.

        Args:
            x: Features by node type: ``[M, 1, F]`` of mentions, ``[M, K, F]`` of candidates.
            weight: First weights by relation, ``[M, K]``.

        Returns:
            Scores ``[M, K]``.
        """
        x = {t: encoder(x[t]) for t, encoder in self.encoders.items()}
        edge = {t: weight[t].unsqueeze(-1) for t in EDGE_TYPES}  # [M, K, 1]
        for layer in self.layers:
            total = dict(x)
            for t in EDGE_TYPES:
                src, _, dst = t
                total[src] = total[src] + self._gather(edge[t] * x[dst])
                total[dst] = total[dst] + edge[t] * x[src]
            if self.dynamic:
                edge = {t: torch.sigmoid(edge[t] + (layer['w_u'](x[t[0]]) * layer['w_v'](x[t[2]])).mean(-1, True))
                        for t in EDGE_TYPES}
            x = {t: F.gelu(layer['norm'](layer['w_h'](total[t]))) for t in NODE_TYPES}
        src, _, dst = EDGE_TYPES[0]
        return F.cosine_similarity(x[src], x[dst], dim=-1)

    def _gather(self, message: Tensor) -> Tensor:
        """What mention vertices receive: the mean over their candidates ``[M, 1, D]``, or each pair's own."""
        return message.mean(1, keepdim=True) if self.context == 'mention' else message


def is_published(model: DRIN) -> bool:
    r"""Whether a model is one that :class:`DenseDRIN` can compute."""
    return (model.shared and model.edge_types == EDGE_TYPES and model.num_layers > 0
            and not (model.residual or model.read_relations or model.vector_edges))


def dense_inputs(tables: PairTables, candidates: Candidates) -> tuple[dict, dict]:
    r"""The two arguments of :meth:`DenseDRIN.forward`: features and first weights of all candidates, gathered.

    Args:
        tables: One image per mention and entity, in the dtype and on the device to compute in.
        candidates: The same number of candidates for each mention, of the first mentions of the tables.
    """
    like = tables.x[NODE_TYPES[0]]
    entity = candidates.entity.view(candidates.num_mentions, -1).to(like.device)  # [M, K]
    rows = entity.size(0)
    x = {t: x[:rows].unsqueeze(1) if t in MENTION_TYPES else x[entity] for t, x in tables.x.items()}
    weight = {}
    for t in EDGE_TYPES:
        if t in candidates.weight:
            weight[t] = candidates.weight[t].view(entity.shape).to(like)
        else:
            src, dst = tables.weight[t]
            weight[t] = (src[:rows].unsqueeze(1) * dst[entity]).sum(-1)
    return x, weight
