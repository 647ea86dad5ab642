from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.typing import EdgeType, NodeType
from torch_geometric.utils import scatter

from drin_pyg.nn.drin_layers import drin_layers, edge_cosine, make_encoders
from drin_pyg.nn.pretrained import PretrainedMixin
from drin_pyg.vocabulary import (
    EDGE_TYPES,
    ENTITY_IMAGE,
    ENTITY_TEXT,
    KIND_OF,
    MENTION_IMAGE,
    MENTION_TEXT,
    NODE_TYPES,
    RELATIONS,
    TEXT_TEXT,
)

COSINE_SCALES = (8.0, 12.0)  # chosen by cross-validation, see docs/results.md
TRUST_START, LEVEL_START = 2.0, 4.0  # of `doubt_images`: rho = 0.88, and about what a fitting image says
DOUBT_GAIN = 50.0  # two numbers among a hundred thousand: Adam's steps, which are equal for all, would hardly move them


class DRIN(PretrainedMixin, torch.nn.Module):
    r"""Scores mention-candidate pairs on their typed graphs.

    From `"DRIN: Dynamic Relation Interactive Network for Multimodal Entity Linking"
    <https://arxiv.org/abs/2310.05589>`_ (ACM MM 2023). Each vertex is projected to
    ``hidden_channels`` by the Linear of its type, ``num_layers`` dynamic layers
    (:class:`DRINConv`) follow, and a pair is scored. :meth:`published` is the paper to the letter:
    the score is the cosine of the two text vertices. The defaults read every relation :math:`r`

    .. math::
        s = \sum_r \bigl( a_r \, \mathrm{logit}(e_r) + b_r \cos(\mathbf{u}_r, \mathbf{v}_r) \bigr),

    its last edge weight and the cosine of its two ends, with learned :math:`a_r, b_r` (a mean over
    edges if there are several images; a relation without edges adds 0). What each difference from
    the paper brings is measured in ``docs/results.md``.

    With ``doubt_images``, the terms of the two relations that leave the mention's image, added up to
    :math:`s_I`, are evidence that holds only if the image shows the entity at all, which it does with
    a learned probability :math:`\rho`:

    .. math::
        s = s_T + \log \bigl( 1 - \rho + \rho \exp(s_I - c) \bigr).

    If :math:`s_I` is a log-ratio of likelihoods up to the learned :math:`c`, this is the log-ratio of a
    mixture, exactly: an image that resembles one candidate counts as before, and one that resembles
    none cannot push any of them below :math:`\log(1 - \rho)`, which turns it off.

    Each layer computes only what the next one or the score reads, and no parameter is created that
    nothing reads.

    Args:
        in_channels: Feature width of every node type, as one number or by type; ``-1`` infers it
            in the first forward pass.
        hidden_channels: Width of all vertices.
        num_layers: Number of dynamic layers; 0 compares the projections.
        edge_types: Relations to use; one that is left out is switched off.
        dynamic: Whether layers update edge weights.
        vector_edges: Whether edges are vectors of width ``hidden_channels``.
        shared: Whether all types share the parameters of a layer (the paper) or have their own.
        residual: Whether layers start at the identity and add to it; see :class:`DRINConv`.
        read_relations: Whether the score reads all relations as above, or only the two text
            vertices as published.
        doubt_images: Whether the score allows for images that have nothing to do with the mention,
            as below.
        cosine_scales: What :math:`b_r` starts at for the relations of two texts and of two images. Small
            numbers leave the start to the first weights, for data whose first weights already rank well.

    Shapes:
        - **input:** ``x_dict``: node type to ``[N, in_channels]``; ``edge_index_dict``: edge type
          to ``[2, E]``; ``edge_weight_dict``: edge type to ``[E]``
        - **output:** scores ``[P]``, one per ``entity_text`` vertex, higher is better; logits if
          ``read_relations``, otherwise in -1..1

    Example:
        >>> x = {t: torch.randn(2, 16) for t in NODE_TYPES}  # two mentions, two entities, an image each
        >>> edge_index = {e: torch.tensor([[0, 1], [0, 1]]) for e in EDGE_TYPES}
        >>> weight = {e: torch.rand(2) for e in EDGE_TYPES}
        >>> model = DRIN(hidden_channels=32).eval()
        >>> model(x, edge_index, weight).shape
        torch.Size([2])
        >>> scores, trace = model.trace(x, edge_index, weight)
        >>> len(trace)  # weights before and after the one layer
        2
    """

    def __init__(
        self,
        in_channels: int | dict[NodeType, int] = -1,
        hidden_channels: int = 256,
        num_layers: int = 1,
        edge_types: list[EdgeType] = EDGE_TYPES,
        *,
        dynamic: bool = True,
        vector_edges: bool = False,
        shared: bool = True,
        residual: bool = True,
        read_relations: bool = True,
        doubt_images: bool = False,
        cosine_scales: tuple[float, float] = COSINE_SCALES,
    ):
        super().__init__()
        self.in_channels = in_channels
        self.hidden_channels = hidden_channels
        self.num_layers = num_layers
        self.edge_types = [tuple(edge_type) for edge_type in edge_types]
        self.dynamic = dynamic
        self.vector_edges = vector_edges
        self.shared = shared
        self.residual = residual
        self.read_relations = read_relations
        self.doubt_images = doubt_images
        self.cosine_scales = tuple(cosine_scales)
        for edge_type in self.edge_types:
            if edge_type not in EDGE_TYPES:
                raise ValueError(f"{edge_type} is no relation of the vocabulary; known are {', '.join(RELATIONS)}")
        if len(self.cosine_scales) != 2:
            raise ValueError(f"'cosine_scales' are two numbers, for texts and for images; got {cosine_scales!r:.60}")
        if num_layers < 0:
            raise ValueError(f"'num_layers' must not be negative, got {num_layers}")

        if read_relations and not self.edge_types:
            raise ValueError("The score reads the relations of 'edge_types', but there is none; name one, or set "
                             "read_relations=False to compare the texts alone")
        if doubt_images and not (read_relations and any(e[0] == MENTION_IMAGE for e in self.edge_types)):
            raise ValueError("'doubt_images' is about relations of the mention's image, but the score reads none")

        texts = {MENTION_TEXT, ENTITY_TEXT}
        read_nodes, read_edges = (set(), set(self.edge_types)) if read_relations else (texts, set())
        layers, node_types = drin_layers(
            (NODE_TYPES, [e for e in EDGE_TYPES if e in self.edge_types]), read_nodes, read_edges, num_layers,
            hidden_channels, dynamic=dynamic, edge_dim=hidden_channels if vector_edges else None, shared=shared,
            residual=residual)
        self.encoders = make_encoders(in_channels, node_types, hidden_channels)
        self.convs = layers
        if read_relations:
            self.relation_scale = torch.nn.Parameter(torch.empty(len(self.edge_types)))
            self.cosine_scale = torch.nn.Parameter(torch.empty(len(self.edge_types)))
        if doubt_images:
            self.image_trust = torch.nn.Parameter(torch.empty(()))
            self.image_level = torch.nn.Parameter(torch.empty(()))
        self.reset_parameters()

    @classmethod
    def published(cls, in_channels: int | dict[NodeType, int] = -1, hidden_channels: int = 768, num_layers: int = 2,
                  edge_types: list[EdgeType] = EDGE_TYPES, **kwargs) -> 'DRIN':
        r"""The paper's model to the letter; further arguments are its ``dynamic`` and ``vector_edges``."""
        return cls(in_channels, hidden_channels, num_layers, edge_types, shared=True, residual=False,
                   read_relations=False, **kwargs)

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        for module in (*self.encoders.values(), *self.convs):
            module.reset_parameters()
        if self.read_relations:
            torch.nn.init.ones_(self.relation_scale)
            with torch.no_grad():
                self.cosine_scale.copy_(torch.tensor([cosine_start(e, self.cosine_scales) for e in self.edge_types]))
        if self.doubt_images:
            torch.nn.init.constant_(self.image_trust, TRUST_START / DOUBT_GAIN)
            torch.nn.init.constant_(self.image_level, LEVEL_START / DOUBT_GAIN)

    def forward(
        self,
        x_dict: dict[NodeType, Tensor],
        edge_index_dict: dict[EdgeType, Tensor],
        edge_weight_dict: dict[EdgeType, Tensor],
        row_dict: dict[NodeType, Tensor] | None = None,
        num_images: Tensor | None = None,
    ) -> Tensor:
        r"""Scores the pairs of a graph or batch; :func:`drin_pyg.graph.forward_args` gives the arguments.

        Args:
            x_dict: Raw features of the vertices.
            edge_index_dict: Edges of all four relations; ``entity_text`` vertex ``p`` is pair ``p``,
                joined to its mention by one text-text edge.
            edge_weight_dict: First weights.
            row_dict: For compact batches, the row of ``x_dict`` that each vertex has.
            num_images: Images of each pair's candidate, int64 ``[P]``, whose vertices follow the
                order of the pairs; None means one each.

        Returns:
            Scores ``[P]``.

        Raises:
            KeyError: Naming a missing node or edge type.
            ValueError: If ``num_images`` is needed and missing.
        """
        return self.trace(x_dict, edge_index_dict, edge_weight_dict, row_dict, num_images)[0]

    def trace(
        self,
        x_dict: dict[NodeType, Tensor],
        edge_index_dict: dict[EdgeType, Tensor],
        edge_weight_dict: dict[EdgeType, Tensor],
        row_dict: dict[NodeType, Tensor] | None = None,
        num_images: Tensor | None = None,
    ) -> tuple[Tensor, list[dict[EdgeType, Tensor]]]:
        r"""Scores, and the edge weights that explain them.

        Returns:
            Scores ``[P]``, and ``num_layers + 1`` dictionaries: the weights that enter
            each layer, and those that leave the last one. A relation that nothing reads at some
            depth is absent there.
        """
        given = x_dict if row_dict is None else row_dict
        trace = []
        for state in self.layers(x_dict, edge_index_dict, edge_weight_dict, row_dict):
            trace.append(state[1])
        x_dict, weights, row_dict = state
        num_pairs = given[ENTITY_TEXT].size(0)
        if row_dict is not None:
            x_dict = {t: x[row_dict[t]] for t, x in x_dict.items()}
        if not self.read_relations:
            return edge_cosine(edge_index_dict[TEXT_TEXT], x_dict[MENTION_TEXT], x_dict[ENTITY_TEXT]), trace
        return self._read(x_dict, edge_index_dict, weights, num_pairs, num_images), trace

    def layers(
        self,
        x_dict: dict[NodeType, Tensor],
        edge_index_dict: dict[EdgeType, Tensor],
        edge_weight_dict: dict[EdgeType, Tensor],
        row_dict: dict[NodeType, Tensor] | None = None,
    ) -> Iterator[tuple[dict[NodeType, Tensor], dict[EdgeType, Tensor], dict[NodeType, Tensor] | None]]:
        r"""Walks through the layers: vertices and edge weights of each depth, ``num_layers + 1`` in all.

        The next layer reads the dictionaries that were handed out, so what is put into them on the
        way is what the rest of the model sees.

        Yields:
            ``x_dict``, ``edge_weight_dict`` and ``row_dict`` as of :meth:`forward`, ``x_dict`` after
            the encoders; ``row_dict`` is None from the first layer on.
        """
        for node_type in (*self.encoders.keys(), ENTITY_TEXT):  # PyG's ModuleDict decodes its keys there
            if node_type not in x_dict:
                raise KeyError(f"'x_dict' lacks node type '{node_type}'; a graph without such vertices holds 'x' of "
                               f"shape [0, F]")
        x_dict = {t: encoder(x_dict[t]) for t, encoder in self.encoders.items()}
        weights = {e: w for e, w in edge_weight_dict.items() if e in self.edge_types}
        if self.vector_edges:
            weights = {e: w.unsqueeze(-1).expand(-1, self.hidden_channels) for e, w in weights.items()}
        yield x_dict, weights, row_dict
        for conv in self.convs:
            x_dict, weights = conv(x_dict, edge_index_dict, weights, row_dict)
            row_dict = None  # a layer's output has one row per vertex
            yield x_dict, weights, row_dict

    def _read(self, x_dict: dict, edge_index_dict: dict, weights: dict, num_pairs: int,
              num_images: Tensor | None) -> Tensor:
        """The score that reads all relations, ``[P]``."""
        terms = {}
        for r, edge_type in enumerate(self.edge_types):
            weight = weights[edge_type]
            if self.dynamic and self.num_layers > 0:
                weight = torch.logit(weight, eps=1e-6)
            weight = weight.mean(-1) if self.vector_edges else weight  # [E]
            cosine = edge_cosine(edge_index_dict[edge_type], x_dict[edge_type[0]], x_dict[edge_type[2]])  # [E]
            value = self.relation_scale[r] * weight + self.cosine_scale[r] * cosine
            pair = edge_index_dict[edge_type][1]                       # [E]
            if edge_type[2] == ENTITY_IMAGE:
                owner = self._pair_of_image(num_pairs, x_dict[ENTITY_IMAGE].size(0), num_images, pair.device)
                pair = owner[pair]
            terms[edge_type] = scatter(value, pair, dim_size=num_pairs, reduce='mean')
        return self.combine(terms)

    def combine(self, terms: dict[EdgeType, Tensor]) -> Tensor:
        r"""The score of a model that reads relations, from what each of them says.

        Args:
            terms: Relation to ``[P]`` (or any shape): its weight and cosine, scaled; what is left out is 0.
        """
        if not self.doubt_images:
            return sum(terms.values())
        image = [term for edge_type, term in terms.items() if edge_type[0] == MENTION_IMAGE]
        text = [term for edge_type, term in terms.items() if edge_type[0] != MENTION_IMAGE]
        return sum(text) + doubted(sum(image), *self.doubt()) if image else sum(text)

    def doubt(self) -> tuple[Tensor, Tensor]:
        r"""Logit of :math:`\rho`, and :math:`c`, of ``doubt_images``; both ``[]``."""
        return self.image_trust * DOUBT_GAIN, self.image_level * DOUBT_GAIN

    @staticmethod
    def _pair_of_image(num_pairs: int, num_vertices: int, num_images: Tensor | None, device: torch.device) -> Tensor:
        """The pair that each entity image belongs to, ``[N]``."""
        if num_images is not None:
            return torch.repeat_interleave(num_images, output_size=num_vertices)
        if num_vertices != num_pairs:
            raise ValueError(f"{num_pairs} candidates have {num_vertices} images: say how many each has with "
                             f"'num_images', which graph builders store in the '{ENTITY_TEXT}' store")
        return torch.arange(num_pairs, device=device)

    def config(self) -> dict:
        r"""The constructor's arguments in JSON form."""
        encoders = {t: encoder.in_channels for t, encoder in self.encoders.items()}
        return {
            'in_channels': dict.fromkeys(NODE_TYPES, -1) | encoders,
            'hidden_channels': self.hidden_channels,
            'num_layers': self.num_layers,
            'relations': [edge_type[1] for edge_type in self.edge_types],
            'dynamic': self.dynamic,
            'vector_edges': self.vector_edges,
            'shared': self.shared,
            'residual': self.residual,
            'read_relations': self.read_relations,
            'doubt_images': self.doubt_images,
            'cosine_scales': list(self.cosine_scales),
        }

    @classmethod
    def from_config(cls, config: dict) -> 'DRIN':
        r"""Builds the model that :meth:`config` described, with fresh parameters.

        Raises:
            ValueError: If it describes none.
        """
        config = dict(config)
        try:
            return cls(edge_types=[RELATIONS[name] for name in config.pop('relations')], **config)
        except (TypeError, LookupError, RuntimeError) as error:
            raise ValueError(f"This configuration makes no model: {error!s:.500}") from error


def cosine_start(edge_type: EdgeType, scales: tuple[float, float] = COSINE_SCALES) -> float:
    r"""What the score starts by taking the cosine of a relation's ends for: 0 if one is a text and the other an image,
    whose vertices are in different spaces at the start."""
    kinds = tuple(KIND_OF.get(node_type, node_type) for node_type in (edge_type[0], edge_type[-1]))
    return {(MENTION_TEXT, ENTITY_TEXT): scales[0], (MENTION_IMAGE, ENTITY_IMAGE): scales[1]}.get(kinds, 0.0)


def doubted(evidence: Tensor, trust: Tensor, level: Tensor) -> Tensor:
    r"""Log-ratio of a mixture: evidence that holds with probability ``sigmoid(trust)``, and says nothing otherwise."""
    return torch.logaddexp(F.logsigmoid(-trust), F.logsigmoid(trust) + evidence - level)
