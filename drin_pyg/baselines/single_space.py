from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.nn.module_dict import ModuleDict
from torch_geometric.typing import NodeType

from drin_pyg.baselines.baseline import Baseline
from drin_pyg.baselines.scaled_cosine import ScaledCosine
from drin_pyg.baselines.sides import Sides
from drin_pyg.nn.loss import Loss
from drin_pyg.vocabulary import ENTITY_IMAGE, ENTITY_TEXT, MENTION_IMAGE, MENTION_TEXT

Modality = Literal['text', 'image']
ENDS: dict[str, tuple[NodeType, NodeType]] = {
    'text': (MENTION_TEXT, ENTITY_TEXT),
    'image': (MENTION_IMAGE, ENTITY_IMAGE),
}


class SingleSpace(Baseline):
    r"""One space for mentions and entities, in the style of `CLIP <https://arxiv.org/abs/2103.00020>`_.

    A mention is the normalised sum of its projected text and image, an entity likewise, each of the four kinds of
    vertices with a Linear of its own; the score is their dot product times a learned scale. Of several images the
    mean counts; a missing one adds nothing, and a mention or entity with nothing at all scores 0.

    Training is by a softmax over *all* entities of the batch: the candidates of one mention are wrong answers for
    the others too. With :math:`\mathbf{n}(\mathbf{x}) = \mathbf{x} / \lVert\mathbf{x}\rVert` and a learned
    :math:`\tau`, for mention :math:`m` and entity :math:`c` (biases left out):

    .. math::
        s_{mc} = e^{\tau} \, \langle \mathbf{n}(\mathbf{W}_1 \mathbf{t}_m + \mathbf{W}_2 \bar{\mathbf{i}}_m),
        \mathbf{n}(\mathbf{W}_3 \mathbf{t}_c + \mathbf{W}_4 \bar{\mathbf{i}}_c) \rangle

    ``encoders`` are named as those of :class:`~drin_pyg.nn.DRIN`, so
    :func:`~drin_pyg.training.warm_start` starts this model as well.

    Args:
        hidden_channels: Width of the space.
        modalities: What is seen, ``"text"``, ``"image"`` or both.

    Raises:
        ValueError: If ``modalities`` is empty or names an unknown one.
    """

    def __init__(self, hidden_channels: int = 128, modalities: Sequence[Modality] = ('text', 'image')):
        super().__init__()
        if not modalities or set(modalities) - set(ENDS):
            raise ValueError(f"'modalities' must be some of {', '.join(ENDS)}, got {modalities!r}")
        self.hidden_channels = hidden_channels
        self.modalities = tuple(modalities)
        self.encoders = ModuleDict({node_type: Linear(-1, hidden_channels, bias_initializer='zeros')
                                    for modality in self.modalities for node_type in ENDS[modality]})
        self.cosine = ScaledCosine()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        for module in (*self.encoders.values(), self.cosine):
            module.reset_parameters()

    def embed(self, sides: Sides) -> tuple[Tensor, Tensor]:
        r"""Unit rows of the distinct mentions ``[B, D]`` and entities ``[C, D]`` of a batch."""
        ends = zip(*(ENDS[modality] for modality in self.modalities), strict=True)  # types of mentions, of entities
        mention, entity = (sum(sides.mean(node_type, self.encoders[node_type])[0] for node_type in types)
                           for types in ends)
        return F.normalize(mention, dim=-1), F.normalize(entity, dim=-1)

    def forward(self, batch: HeteroData) -> Tensor:
        sides = Sides(batch)
        return self.cosine(*self.embed(sides), sides.mention.of_pair, sides.entity.of_pair)

    def loss(self, batch: HeteroData, loss: Loss) -> Tensor:
        r"""Cross entropy of the answer against all entities of the batch.

        Args:
            batch: A batch with ``y``. It does not say what answers a mention whose candidates are all wrong: such
                a mention is left out.
            loss: Not used.

        Returns:
            A scalar, the mean over mentions; 0 if there is none to count.
        """
        sides = Sides(batch)
        answer = sides.answer()
        total = F.cross_entropy(self.cosine.matrix(*self.embed(sides)), answer, ignore_index=-1, reduction='sum')
        return total / (answer >= 0).sum().clamp(min=1)
