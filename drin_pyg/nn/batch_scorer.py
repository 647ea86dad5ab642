from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from drin_pyg.nn.loss import Loss


class BatchScorer(torch.nn.Module, ABC):
    r"""A model that scores the pairs of a batch as it comes from :class:`~drin_pyg.graph.CandidateLoader`.

    :class:`~drin_pyg.nn.DRIN` takes the dictionaries that PyG's models and explainers take. A model that needs
    more of a batch than those (which pairs are of one mention, tokens, further vertices) is one of these, and is
    trained and evaluated by the same code.
    """

    @abstractmethod
    def forward(self, batch: HeteroData) -> Tensor:
        """Scores ``[P]`` of the pairs of a batch, higher is better."""

    def loss(self, batch: HeteroData, loss: Loss) -> Tensor:
        r"""What training minimises: ``loss`` of the scores, unless the model has its own.

        Args:
            batch: A batch with ``y``.
            loss: One of :mod:`drin_pyg.nn.loss`.

        Returns:
            A scalar.
        """
        return loss(self(batch), batch.y, batch.mention)
