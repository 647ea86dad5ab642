import csv
import io
from pathlib import Path
from typing import Any

import lightning as L

from drin_pyg.files import write_atomic


class CurveFile(L.Callback):
    r"""Writes what was logged, a line an epoch, into a CSV file.

    The lines are part of the checkpoint: a run that goes on after a kill has each epoch's once, with no gap.

    Args:
        path: The file.
    """

    def __init__(self, path: Path):
        self.path = path
        self.rows: list[dict[str, float]] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._write(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        figures = {name: value.item() for name, value in trainer.callback_metrics.items()}
        self.rows.append({'epoch': trainer.current_epoch, 'step': trainer.global_step - 1, **figures})
        self._write(trainer)

    def state_dict(self) -> dict[str, Any]:
        return {'rows': self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict['rows'])

    def _write(self, trainer: L.Trainer) -> None:
        if not self.rows or not trainer.is_global_zero:
            return
        file = io.StringIO()
        writer = csv.DictWriter(file, list(self.rows[0]), lineterminator='\n')
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomic(self.path, file.getvalue().encode())
