import io
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from drin_pyg.files import write_atomic

REMEDY = "remove the folder 'checkpoints' to train from the start"


class CheckpointFile(TorchCheckpointIO):
    r"""Checkpoints that are there whole or not at all, and are known to be whole when they are read.

    Lightning's own go through a temporary file of another folder, which may be another disk: then they are copied,
    and a kill leaves half of one.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes a checkpoint."""
        buffer = io.BytesIO()  # into a file, torch.save makes another error of a full disk
        torch.save(checkpoint, buffer)
        write_atomic(Path(path), buffer.getbuffer())

    def load_checkpoint(self, path: str | Path, *_: Any, **__: Any) -> dict[str, Any]:
        """Reads a checkpoint, as :func:`read_checkpoint` does."""
        return read_checkpoint(Path(path))


def read_checkpoint(path: Path) -> dict[str, Any]:
    r"""Reads a checkpoint onto the CPU. It knows the folder it was written to; what it says of it is put right.

    Raises:
        FileNotFoundError: If there is none.
        PermissionError: If it may not be read.
        ValueError: If it is damaged, naming it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"'{path}' is missing; {REMEDY}")
    try:
        with zipfile.ZipFile(path) as file:
            if any(member.compress_type != zipfile.ZIP_STORED for member in file.infolist()):  # PyTorch compresses none
                raise ValueError('it is compressed, and may be of any size')
            bad = file.testzip()  # torch.load leaves the checksums alone
        if bad is not None:
            raise ValueError(f"the checksum of '{bad}' in it is wrong")
        checkpoint = torch.load(path, map_location='cpu', weights_only=True)
        for state in checkpoint['callbacks'].values():
            if 'dirpath' in state:
                _move(state, path.parent.resolve())
    except (PermissionError, MemoryError):
        raise
    except Exception as error:  # whatever PyTorch and zipfile make of damaged bytes
        raise ValueError(f"'{path}' is damaged: {str(error)[:1000]}; {REMEDY}") from error
    return checkpoint


def _move(state: dict[str, Any], folder: Path) -> None:
    """A folder that was moved is no other run: without this, Lightning would forget which epoch was the best."""
    def moved(path: str) -> str:
        return str(folder / Path(path).name) if path else path

    state |= {name: moved(state[name]) for name in ('best_model_path', 'kth_best_model_path', 'last_model_path')}
    state['best_k_models'] = {moved(path): score for path, score in state['best_k_models'].items()}
    state['dirpath'] = str(folder)
