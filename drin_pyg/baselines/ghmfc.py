import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.nn.dense.linear import Linear

from drin_pyg.baselines.add_sequences import need_sequences
from drin_pyg.baselines.baseline import Baseline
from drin_pyg.baselines.cross_attention import CrossAttention, max_over
from drin_pyg.baselines.scaled_cosine import ScaledCosine
from drin_pyg.baselines.sides import Sides
from drin_pyg.nn.loss import Loss
from drin_pyg.vocabulary import ENTITY_TEXT

TEMPERATURE = 0.07  # of the contrastive loss between the modalities


class GHMFC(Baseline):
    r"""Gated fusion of two-way attention, after `"Multimodal Entity Linking with Gated Hierarchical Fusion and
    Contrastive Training" <https://doi.org/10.1145/3477495.3531867>`_ (SIGIR 2022), on frozen features.

    Tokens of the sentence and regions of the images are projected to ``hidden_channels``; with
    :class:`CrossAttention` CA,

    .. math::
        \mathbf{t} &= \mathrm{GELU}(\mathbf{W}_t \max_{\text{tokens}} \mathrm{CA}(\text{tokens}, \text{regions})),
        \qquad
        \mathbf{i} = \mathrm{GELU}(\mathbf{W}_i \max_{\text{regions}} \mathrm{CA}(\text{regions}, \text{tokens})) \\
        \boldsymbol{\alpha} &= \mathrm{softmax}(\mathbf{W}_g [\mathbf{t}; \mathbf{i}]), \qquad
        \text{mention} = \alpha_1 \mathbf{t} + \alpha_2 \mathbf{i},

    and an entity is one Linear on its pooled text. The score is their cosine (:class:`ScaledCosine`). A mention
    without regions is :math:`\mathbf{t}` alone, one without tokens :math:`\mathbf{i}` alone: attention over nothing
    is skipped, and a side that is not there has no share in the gate.

    Batches need :class:`AddSequences`.

    Args:
        hidden_channels: Width ``D`` of everything.
        heads: Heads of the attentions, or as many below as divide the width.
        dropout: Dropout on the attention weights.
        contrastive: Weight of a loss that tells a mention's :math:`\mathbf{t}` and :math:`\mathbf{i}` from those of
            the other mentions of the batch, both ways; 0 leaves it out.
        scaled: Whether cosines have a learned scale; not with the margin loss, see :class:`ScaledCosine`.
    """

    def __init__(
        self,
        hidden_channels: int = 128,
        heads: int = 8,
        dropout: float = 0.1,
        contrastive: float = 0.0,
        scaled: bool = True,
    ):
        super().__init__()
        self.hidden_channels = hidden_channels
        self.heads = heads
        self.dropout = dropout
        self.contrastive = contrastive
        self.scaled = scaled
        self.token_encoder = Linear(-1, hidden_channels)
        self.region_encoder = Linear(-1, hidden_channels)
        self.to_regions = CrossAttention(hidden_channels, heads, dropout)
        self.to_tokens = CrossAttention(hidden_channels, heads, dropout)
        self.text = Linear(hidden_channels, hidden_channels)
        self.image = Linear(hidden_channels, hidden_channels)
        self.gate = Linear(2 * hidden_channels, 2)
        self.entity_encoder = Linear(-1, hidden_channels)
        self.cosine = ScaledCosine(scaled)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        for module in self.children():
            module.reset_parameters()

    def modalities(self, batch: HeteroData) -> tuple[Tensor, Tensor, Tensor]:
        r"""Text and image side of the distinct mentions, ``[B, D]`` each, zeros where there is none; and which sides
        there are, bool ``[B, 2]``.

        Raises:
            ValueError: If the batch has no sequences.
        """
        need_sequences(self, batch)
        tokens, regions = self.token_encoder(batch.tokens), self.region_encoder(batch.regions)  # [B, T, D], [B, R, D]
        token_mask, region_mask = batch.token_mask, batch.region_mask
        there = torch.stack([token_mask.any(1), region_mask.any(1)], dim=-1)                     # [B, 2]
        t = max_over(self.to_regions(tokens, token_mask, regions, region_mask), token_mask)      # [B, D]
        i = max_over(self.to_tokens(regions, region_mask, tokens, token_mask), region_mask)      # [B, D]
        return F.gelu(self.text(t)) * there[:, :1], F.gelu(self.image(i)) * there[:, 1:], there

    def forward(self, batch: HeteroData) -> Tensor:
        return self._score(batch, *self.modalities(batch))

    def loss(self, batch: HeteroData, loss: Loss) -> Tensor:
        t, i, there = self.modalities(batch)
        total = loss(self._score(batch, t, i, there), batch.y, batch.mention)
        if self.contrastive == 0:
            return total
        both = there.all(1)
        return total + self.contrastive * contrast(t[both], i[both])

    def _score(self, batch: HeteroData, t: Tensor, i: Tensor, there: Tensor) -> Tensor:
        gate = self.gate(torch.cat([t, i], dim=-1))                                              # [B, 2]
        alpha = gate.masked_fill(~there, torch.finfo(gate.dtype).min).softmax(-1)
        mention = alpha[:, :1] * t + alpha[:, 1:] * i                                            # [B, D]
        sides = Sides(batch)
        entity, _ = sides.mean(ENTITY_TEXT, self.entity_encoder)                                 # [C, D]
        return self.cosine(mention, entity, sides.mention.of_pair, sides.entity.of_pair)


def contrast(t: Tensor, i: Tensor) -> Tensor:
    r"""Cross entropy of telling which image side ``[B, D]`` belongs to which text side ``[B, D]``, and back; 0 for
    fewer than two rows, where there is nothing to tell apart."""
    if t.size(0) < 2:
        return t.new_zeros(())
    logits = F.normalize(t, dim=-1) @ F.normalize(i, dim=-1).t() / TEMPERATURE  # [B, B]
    own = torch.arange(t.size(0), device=t.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.t(), own)) / 2
