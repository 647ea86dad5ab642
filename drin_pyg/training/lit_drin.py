from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from drin_pyg.evaluation import evaluate_scores
from drin_pyg.graph import forward_args
from drin_pyg.nn import DRIN, BatchScorer
from drin_pyg.nn.loss import Loss, counted_mentions, margin_loss, softmax_loss

LOSSES = {'margin': margin_loss, 'softmax': softmax_loss}


def score_batch(model: DRIN | BatchScorer, batch: HeteroData) -> Tensor:
    r"""Scores ``[P]`` of the pairs of a batch by either kind of model, without those that do not count
    (:class:`~drin_pyg.evaluation.DropAppended`)."""
    scores = model(batch) if isinstance(model, BatchScorer) else model(**forward_args(batch))
    return scores[batch.scored] if 'scored' in batch else scores


def batch_loss(model: DRIN | BatchScorer, batch: HeteroData, loss: Loss) -> Tensor:
    r"""What training minimises on a batch.

    Raises:
        ValueError: If a model with a loss of its own is given pairs that do not count.
    """
    counts = batch.scored if 'scored' in batch else slice(None)
    if not isinstance(model, BatchScorer):
        return loss(score_batch(model, batch), batch.y[counts], batch.mention[counts])
    if 'scored' in batch:
        raise ValueError(f"{type(model).__name__} has a loss of its own, which cannot leave out appended answers; "
                         f"train it without the published protocol")
    return model.loss(batch, loss)


class LitDRIN(L.LightningModule):
    r"""Trains a :class:`~drin_pyg.nn.DRIN`, or a :class:`~drin_pyg.nn.BatchScorer`, on batches of pair graphs.

    Logs ``train_loss`` and, after every epoch, ``val_mrr`` and ``val_top1`` (raw: a mention whose
    answer is not among its candidates is a miss; ties count against the model).

    Several processes have the same batches and a share of the mentions of each, so the average of their gradients is
    the gradient of the whole batch, up to the order of sums, if each loss counts with its share of the mentions that
    the whole batch's loss is a mean over. Not so for a model with a loss of its own that compares mentions of a
    batch, and not with dropout, whose masks differ. Validation figures are of all mentions.

    Args:
        model: The model.
        loss: ``"margin"`` (published) or ``"softmax"``.
        lr: Learning rate of Adam.

    Raises:
        ValueError: If the loss is unknown.
    """

    def __init__(self, model: DRIN | BatchScorer, loss: str = 'softmax', lr: float = 1e-3):
        super().__init__()
        if loss not in LOSSES:
            raise ValueError(f"'loss' must be one of {', '.join(LOSSES)}, got {loss!r}")
        self.model = model
        self.loss = loss
        self.lr = lr
        self._val_scores: list[Tensor] = []
        self._random: Tensor | None = None  # state after the last epoch

    def forward(self, batch: HeteroData) -> Tensor:
        """Scores ``[P]`` of the pairs of a batch."""
        return score_batch(self.model, batch)

    def on_train_epoch_start(self) -> None:
        self.trainer.train_dataloader.set_epoch(self.current_epoch)

    def on_train_batch_start(self, batch: HeteroData, batch_idx: int) -> None:
        # A run that goes on drops out what it would have dropped out. Lightning asks for the batches before an epoch
        # begins or after, and each time PyTorch draws a number; one is what an epoch takes.
        if batch_idx == 0 and self._random is not None:
            torch.set_rng_state(self._random)
            torch.empty((), dtype=torch.int64).random_()

    def on_train_epoch_end(self) -> None:
        self._random = torch.get_rng_state()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint['random'] = self._random

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._random = checkpoint.get('random')

    def training_step(self, batch: HeteroData, batch_idx: int) -> Tensor:
        loss, num_pairs = batch_loss(self.model, batch, LOSSES[self.loss]), batch.mention.numel()
        if self.trainer.world_size > 1:
            weight, num_pairs = self._weigh_share(batch)
            loss = loss * weight
        self.log('train_loss', loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=num_pairs, sync_dist=True)
        return loss

    def _weigh_share(self, batch: HeteroData) -> tuple[Tensor, int]:
        """What this process's loss counts in the mean over all processes, and the pairs of the whole batch."""
        counts = batch.scored if 'scored' in batch else slice(None)
        counted = counted_mentions(LOSSES[self.loss], batch.y[counts], batch.mention[counts])
        own = torch.tensor([counted, batch.mention.numel()], device=self.device)
        total = self.trainer.strategy.reduce(own.clone(), reduce_op='sum')
        return own[0] * self.trainer.world_size / total[0].clamp(min=1), int(total[1])

    def validation_step(self, batch: HeteroData, batch_idx: int) -> None:
        self._val_scores.append(self(batch))

    def on_validation_epoch_end(self) -> None:
        lists = self.trainer.datamodule.lists('val')
        own = lists.pairs_of(torch.tensor([row for rows in self.trainer.val_dataloaders.batch_sampler for row in rows],
                                          dtype=torch.long))
        scores = torch.zeros(lists.num_pairs, device=self.device)
        scores[own.to(self.device)] = torch.cat(self._val_scores).float()
        self._val_scores.clear()
        scores = self.trainer.strategy.reduce(scores, reduce_op='sum')  # each pair is of one process
        metrics = evaluate_scores(scores.cpu(), lists)
        self.log('val_mrr', metrics.mrr, prog_bar=True, sync_dist=True)
        self.log('val_top1', metrics.hits[1], prog_bar=True, sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.lr)
