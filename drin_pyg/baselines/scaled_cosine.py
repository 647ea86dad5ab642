import math

import torch
import torch.nn.functional as F
from torch import Tensor

START = math.log(1 / 0.07)  # as of CLIP (https://arxiv.org/abs/2103.00020), Section 2.5
MAX_SCALE = 100.0           # likewise: no scale beyond it, for stability


class ScaledCosine(torch.nn.Module):
    r"""Cosines of mentions and entities, times a learned scale.

    A softmax over plain cosines cannot become sharp, so :math:`e^{\tau} \cos(\mathbf{u}, \mathbf{v})` is what it
    gets, with :math:`\tau` learned from CLIP's start. A margin loss means its margin in units of the cosine, which
    a learned scale would make meaningless: ``scaled=False`` leaves it out. The order of candidates is the same.

    Args:
        scaled: Whether there is a scale.
    """

    def __init__(self, scaled: bool = True):
        super().__init__()
        self.scaled = scaled
        if scaled:
            self.log_scale = torch.nn.Parameter(torch.empty(()))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        if self.scaled:
            torch.nn.init.constant_(self.log_scale, START)

    def forward(self, mention: Tensor, entity: Tensor, mention_of_pair: Tensor, entity_of_pair: Tensor) -> Tensor:
        r"""Scores of pairs.

        Args:
            mention: Mentions ``[B, D]``.
            entity: Entities ``[C, D]``.
            mention_of_pair: Mention of each pair, int64 ``[P]``.
            entity_of_pair: Entity of each pair, int64 ``[P]``.

        Returns:
            Scores ``[P]``; 0 where a vector is all zeros.
        """
        u = F.normalize(mention, dim=-1)[mention_of_pair]  # [P, D]
        v = F.normalize(entity, dim=-1)[entity_of_pair]    # [P, D]
        return self.scale((u * v).sum(-1))

    def matrix(self, mention: Tensor, entity: Tensor) -> Tensor:
        r"""Scores ``[B, C]`` of every mention ``[B, D]`` with every entity ``[C, D]``."""
        return self.scale(F.normalize(mention, dim=-1) @ F.normalize(entity, dim=-1).t())

    def scale(self, cosine: Tensor) -> Tensor:
        """Cosines of any shape, scaled."""
        return cosine * self.log_scale.exp().clamp(max=MAX_SCALE) if self.scaled else cosine
