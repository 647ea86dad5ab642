import logging
import os
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from torch import Tensor

from drin_pyg.nn import DRIN, BatchScorer
from drin_pyg.nn.pretrained import PretrainedMixin
from drin_pyg.training.checkpoint_file import CheckpointFile, read_checkpoint
from drin_pyg.training.curve_file import CurveFile
from drin_pyg.training.data_module import CandidateDataModule
from drin_pyg.training.lit_drin import LitDRIN, score_batch
from drin_pyg.training.patience import Patience


@dataclass(frozen=True)
class FitResult:
    r"""What a training run came to.

    Args:
        model: The model with the weights of the best epoch.
        best_val_mrr: Its validation MRR.
        epochs: Epochs run.
        seconds: Wall time.
        folder: Where ``checkpoints/``, ``metrics.csv`` and, of a model that can be saved on its own, ``model/`` are.
    """

    model: DRIN | BatchScorer
    best_val_mrr: float
    epochs: int
    seconds: float
    folder: Path


def fit(
    model: DRIN | BatchScorer,
    data: CandidateDataModule,
    folder: str | Path,
    *,
    loss: str = 'softmax',
    lr: float = 1e-3,
    max_epochs: int = 30,
    patience: int = 5,
    seed: int = 0,
    resume: bool = False,
    progress: bool = True,
    accelerator: str = 'auto',
) -> FitResult:
    r"""Trains a model with Lightning and saves the best epoch by validation MRR.

    Killed at any point and called again with ``resume``, it goes on after the last whole epoch and ends, on a CPU,
    with the same bytes as if it had not been killed.

    In the processes of ``torchrun``, trains one model with all of them (DDP) and the first one writes; see
    :class:`LitDRIN` for what is equal to training in one process. A parameter without a gradient is an error there.

    Args:
        model: The model.
        data: Training and validation mentions.
        folder: Where the run is written.
        loss: ``"softmax"`` or ``"margin"``.
        lr: Learning rate.
        max_epochs: Most epochs to run.
        patience: Epochs without a better validation MRR after which to stop.
        seed: Seed of dropout; the order of the mentions has the seed of ``data``.
        resume: Go on from the last checkpoint in ``folder`` if there is one; otherwise a folder
            that already holds a run is refused.
        progress: Whether to show a progress bar.
        accelerator: Lightning's accelerator, such as ``"cpu"`` or ``"gpu"``.

    Raises:
        FileExistsError: If ``folder`` holds a run and ``resume`` is False.
        ValueError: If a checkpoint is damaged, naming it.
    """
    folder = Path(folder)
    last = folder / 'checkpoints' / 'last.ckpt'
    if last.exists() and not resume:
        raise FileExistsError(f"'{folder}' already holds a training run; resume it or name another folder")
    torch.manual_seed(seed)  # and not Python's `random` too, from which PyG draws names of generated code
    with torch.no_grad():  # lazy sizes need a batch before an optimizer can hold the parameters
        score_batch(model, next(iter(data.loader('val'))))
    checkpoint = ModelCheckpoint(last.parent, 'best', monitor='val_mrr', mode='max', enable_version_counter=False)
    # Its own callback: with `save_last`, Lightning would write it in epochs that set a new best only.
    latest = ModelCheckpoint(last.parent, last.stem, enable_version_counter=False)
    callbacks = [Patience('val_mrr', mode='max', patience=patience), CurveFile(folder / 'metrics.csv'), checkpoint,
                 latest]
    if progress and first_process():
        callbacks.append(TQDMProgressBar(leave=False))
    # Lightning's remarks on hardware it did not find are no news to whoever waits for the bar.
    logging.getLogger('lightning.pytorch').setLevel(logging.ERROR)
    trainer = L.Trainer(
        max_epochs=max_epochs,
        accelerator=accelerator,
        **_processes(),
        use_distributed_sampler=False,  # the batches come in shares
        logger=False,
        callbacks=callbacks,
        plugins=[CheckpointFile()],
        enable_progress_bar=progress and first_process(),
        enable_model_summary=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1 if data.swap_images else 0,
    )
    start = time.perf_counter()
    module = LitDRIN(model, loss, lr).train()
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Checkpoint directory .* exists and is not empty')  # of a run that goes on
        trainer.fit(module, datamodule=data, ckpt_path=last if last.exists() else None, weights_only=True)
    best = read_checkpoint(Path(checkpoint.best_model_path))
    module.load_state_dict(best['state_dict'])
    model = module.model.eval()
    if isinstance(model, PretrainedMixin) and first_process():
        model.save_pretrained(folder / 'model')
    return FitResult(model, float(checkpoint.best_model_score), trainer.current_epoch, time.perf_counter() - start,
                     folder)


def first_process() -> bool:
    r"""Whether this is the process that writes and speaks: the first of those that ``torchrun`` started, or the only
    one."""
    return 'TORCHELASTIC_RUN_ID' not in os.environ or os.environ['RANK'] == '0'


def _processes() -> dict[str, Any]:
    """How many processes there are and how they work together; ``torchrun`` says it in the environment."""
    if 'TORCHELASTIC_RUN_ID' not in os.environ:
        return {'devices': 1}
    here, all_of_them = int(os.environ['LOCAL_WORLD_SIZE']), int(os.environ['WORLD_SIZE'])
    # Not 'ddp_find_unused_parameters_true': no model here has such parameters, so one is a mistake.
    return {'devices': here, 'num_nodes': all_of_them // here, 'strategy': 'ddp'}


@torch.inference_mode()
def predict(model: DRIN | BatchScorer, data: CandidateDataModule, split: str = 'test') -> Tensor:
    r"""Scores ``[P]`` of all pairs of a split, in the order of its mentions, on the model's device."""
    device = next(model.parameters()).device
    model.eval()
    scores = [score_batch(model, batch.to(device)).float().cpu() for batch in data.loader(split)]
    return torch.cat(scores) if scores else torch.empty(0)
