from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType, Metadata, NodeType
from torch_geometric.utils import scatter

from drin_pyg.nn.batch_scorer import BatchScorer
from drin_pyg.nn.drin import COSINE_SCALES, cosine_start
from drin_pyg.nn.drin_layers import drin_layers, edge_cosine, make_encoders
from drin_pyg.nn.pretrained import PretrainedMixin
from drin_pyg.vocabulary import EDGE_TYPES, KIND_OF, SAME_MODALITY


class HeteroDRIN(PretrainedMixin, BatchScorer):
    r"""DRIN over any metadata: further vertices and relations beside the paper's, or others altogether.

    Encoders, layers (:class:`~drin_pyg.nn.DRINConv`) and score are those of :class:`~drin_pyg.nn.DRIN`
    as it is by default (`arXiv:2310.05589 <https://arxiv.org/abs/2310.05589>`_, Section 3.4, and the
    score that reads all relations)

    .. math::
        s = \sum_r \operatorname{mean}_{(u, v) \in r} \bigl( a_r \, \mathrm{logit}(e_{uv}) + b_r
        \cos(\mathbf{u}, \mathbf{v}) \bigr),

    the mean over the edges of the pair, and on the paper's metadata the two models give the same
    numbers. Which pair an edge belongs to comes with the batch: ``batch[edge_type].pair``, int64
    ``[E]``, which :class:`~drin_pyg.graph.PairEdges` and the transforms that add relations set. A
    relation that the score does not read has messages and weights of its own all the same.

    Each layer computes only what the next one or the score reads, and no parameter is created that
    nothing reads.

    Args:
        metadata: Node types and edge types, as :meth:`HeteroData.metadata` gives them.
        hidden_channels: Width of all vertices.
        num_layers: Number of dynamic layers; 0 compares the projections.
        in_channels: Feature width of every node type, as one number or by type; ``-1`` infers it in
            the first forward pass.
        dynamic: Whether layers update edge weights.
        shared: Whether all types share the parameters of a layer (the paper) or have their own.
        residual: Whether layers start at the identity and add to it; see
            :class:`~drin_pyg.nn.DRINConv`.
        read_edge_types: Relations that the score reads; None for all that join two different types.
        comparable: Relations whose two ends are in one space at the start, so that the score begins by
            reading their cosine; None for those that join two of one modality by the vocabulary.
        silent: Relations that the score begins by ignoring (:math:`a_r = b_r = 0`), whatever
            ``comparable`` says; None for all but the paper's, if it reads any of the paper's. With
            ``residual``, the model then starts where :class:`~drin_pyg.nn.DRIN` does, and finds out
            what the others are worth.

    Raises:
        ValueError: If the score reads no relation, or one that the metadata lacks, or the metadata is
            inconsistent.

    Shapes:
        - **input:** a batch of :class:`~drin_pyg.graph.CandidateLoader` with all stores of ``metadata``
        - **output:** scores ``[P]``, logits, higher is better
    """

    def __init__(
        self,
        metadata: Metadata,
        hidden_channels: int = 256,
        num_layers: int = 1,
        *,
        in_channels: int | dict[NodeType, int] = -1,
        dynamic: bool = True,
        shared: bool = True,
        residual: bool = True,
        read_edge_types: Sequence[EdgeType] | None = None,
        comparable: Sequence[EdgeType] | None = None,
        silent: Sequence[EdgeType] | None = None,
    ):
        super().__init__()
        node_types, edge_types = list(metadata[0]), [tuple(edge_type) for edge_type in metadata[1]]
        self.metadata = (node_types, edge_types)
        self.hidden_channels = hidden_channels
        self.num_layers = num_layers
        self.in_channels = in_channels
        self.dynamic = dynamic
        self.shared = shared
        self.residual = residual
        self.read_edge_types = [e for e in edge_types if e[0] != e[2]] if read_edge_types is None else \
            [tuple(edge_type) for edge_type in read_edge_types]
        self.comparable = [e for e in self.read_edge_types if e in SAME_MODALITY] if comparable is None else \
            [tuple(edge_type) for edge_type in comparable]
        if silent is None:
            published = [e for e in self.read_edge_types if e in EDGE_TYPES]
            silent = [e for e in self.read_edge_types if published and e not in published]
        self.silent = [tuple(edge_type) for edge_type in silent]
        self._validate()

        layers, nodes = drin_layers(self.metadata, set(), set(self.read_edge_types), num_layers, hidden_channels,
                                    dynamic=dynamic, shared=shared, residual=residual)
        self.encoders = make_encoders(in_channels, nodes, hidden_channels)
        self.convs = layers
        self.relation_scale = torch.nn.Parameter(torch.empty(len(self.read_edge_types)))
        self.cosine_scale = torch.nn.Parameter(torch.empty(len(self.read_edge_types)))
        self.reset_parameters()

    def _validate(self) -> None:
        node_types, edge_types = self.metadata
        for edge_type in edge_types:
            for node_type in (edge_type[0], edge_type[-1]):
                if node_type not in node_types:
                    raise ValueError(f"Edge type {edge_type} joins node type '{node_type}', which the metadata does "
                                     f"not list; its node types are {', '.join(node_types)}")
        for name, chosen, known in (('read_edge_types', self.read_edge_types, edge_types),
                                    ('comparable', self.comparable, self.read_edge_types),
                                    ('silent', self.silent, self.read_edge_types)):
            if unknown := [edge_type for edge_type in chosen if edge_type not in known]:
                raise ValueError(f"'{name}' names {unknown[0]}, which is not among {known}")
        if not self.read_edge_types:
            raise ValueError("The score reads relations between two types of vertices, but the metadata has none; "
                             "name some with 'read_edge_types'")
        if self.num_layers < 0:
            raise ValueError(f"'num_layers' must not be negative, got {self.num_layers}")

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        for module in (*self.encoders.values(), *self.convs):
            module.reset_parameters()
        with torch.no_grad():
            for r, edge_type in enumerate(self.read_edge_types):
                loud = edge_type not in self.silent
                self.relation_scale[r] = 1.0 if loud else 0.0
                # Ends in different spaces have a cosine that is noise at the start.
                loud = loud and edge_type in self.comparable
                self.cosine_scale[r] = (cosine_start(edge_type) or COSINE_SCALES[0]) if loud else 0.0

    def forward(self, batch: HeteroData) -> Tensor:
        r"""Scores the pairs of a batch, compact or not.

        Args:
            batch: With ``x`` (and ``row`` if compact) in the node stores of ``metadata``,
                ``edge_index`` and ``edge_weight`` in its edge stores, and ``pair`` in those that the
                score reads.

        Returns:
            Scores ``[P]``.

        Raises:
            KeyError: Naming a missing node or edge type.
            ValueError: If an edge store that the score reads has no ``pair``.
        """
        edge_index_dict, weights = batch.edge_index_dict, batch.edge_weight_dict
        for edge_type in self.read_edge_types:
            if edge_type not in edge_index_dict:
                raise KeyError(f"The batch lacks edge type {edge_type}; add it with the transform that makes it")
            if 'pair' not in batch[edge_type]:
                raise ValueError(f"batch[{edge_type}] does not say to which pair each edge belongs; store it as 'pair' "
                                 f"(int64 [E]), for the paper's relations with drin_pyg.graph.PairEdges as transform")
        given = batch.x_dict
        for node_type in self.encoders.keys():  # noqa: SIM118 -- PyG's ModuleDict decodes its keys there
            if node_type not in given:
                raise KeyError(f"The batch lacks node type '{node_type}'; add it with the transform that makes it")
        x_dict = {t: encoder(given[t]) for t, encoder in self.encoders.items()}
        row_dict = batch.collect('row', allow_empty=True) or None
        for conv in self.convs:
            x_dict, weights = conv(x_dict, edge_index_dict, weights, row_dict)
            row_dict = None  # a layer's output has one row per vertex
        if row_dict is not None:
            x_dict = {t: x[row_dict[t]] for t, x in x_dict.items()}

        scores = self.cosine_scale.new_zeros(batch.mention.numel())  # [P]
        for r, edge_type in enumerate(self.read_edge_types):
            (src, _, dst), weight = edge_type, weights[edge_type]    # [E]
            if self.dynamic and self.num_layers > 0:
                weight = torch.logit(weight, eps=1e-6)
            cosine = edge_cosine(edge_index_dict[edge_type], x_dict[src], x_dict[dst])
            value = self.relation_scale[r] * weight + self.cosine_scale[r] * cosine
            scores = scores + scatter(value, batch[edge_type].pair, dim_size=scores.numel(), reduce='mean')
        return scores

    def config(self) -> dict:
        r"""The constructor's arguments in JSON form."""
        encoders = {t: encoder.in_channels for t, encoder in self.encoders.items()}
        return {
            'metadata': [self.metadata[0], [list(edge_type) for edge_type in self.metadata[1]]],
            'hidden_channels': self.hidden_channels,
            'num_layers': self.num_layers,
            'in_channels': dict.fromkeys(self.metadata[0], -1) | encoders,
            'dynamic': self.dynamic,
            'shared': self.shared,
            'residual': self.residual,
            'read_edge_types': [list(edge_type) for edge_type in self.read_edge_types],
            'comparable': [list(edge_type) for edge_type in self.comparable],
            'silent': [list(edge_type) for edge_type in self.silent],
        }

    @classmethod
    def from_config(cls, config: dict) -> 'HeteroDRIN':
        r"""Builds the model that :meth:`config` described, with fresh parameters."""
        return cls(**config)


@torch.no_grad()
def start_extra(model: HeteroDRIN, x_dict: dict[NodeType, Tensor]) -> HeteroDRIN:
    r"""Starts vertices that the paper does not have where those of their kind start.

    The mention's words alone are encoded like its sentence, an entity's name like its description
    (:data:`~drin_pyg.vocabulary.KIND_OF`), so each takes over the projection of its kind, centred on its own
    features. Call it after :func:`~drin_pyg.training.warm_start`::

        model = start_extra(warm_start(model, tables, candidates, train), {MENTION_SURFACE: surface})

    Args:
        model: The model; encoders whose widths are still to be inferred get those of the features.
        x_dict: Features ``[rows, F]`` of each further type: the tables that its transform was given.

    Returns:
        The model itself.

    Raises:
        ValueError: If the model has no such type or none of its kind, or the two are of different widths.
    """
    for node_type, x in x_dict.items():
        kind = KIND_OF.get(node_type)
        if kind is None or node_type not in model.encoders or kind not in model.encoders:
            raise ValueError(f"'{node_type}' cannot start like another type of vertices here: types are "
                             f"{', '.join(f'{t} (like {k})' for t, k in KIND_OF.items())}, and the model must have "
                             f"both, but has {', '.join(model.encoders.keys())}")
        encoder, other = model.encoders[node_type], model.encoders[kind]
        if encoder.in_channels < 1:  # to be inferred, so now
            encoder(x[:1])
        if not encoder.in_channels == other.in_channels == x.size(1):
            raise ValueError(f"'{node_type}' ({x.size(1)} wide, the model expects {encoder.in_channels}) cannot start "
                             f"like '{kind}' ({other.in_channels} wide): encode both with one encoder, and call "
                             f"`warm_start` first")
        encoder.weight.copy_(other.weight)
        encoder.bias.copy_(-(other.weight @ x.mean(0)))
    return model
