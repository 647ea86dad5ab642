from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class RowEncoder(ABC):
    r"""A frozen encoder: items in, rows of features out, batch by batch; see :func:`encode_rows`.

    ``prepare`` runs in worker processes (decoding, cropping), ``encode`` where the model is.

    Args:
        device: Where the model runs. On a GPU it computes in bfloat16 (autocast) and rows are
            returned as float32.
    """

    name: str  #: What the rows are of, for people and file names.
    batch_size: int = 64

    def __init__(self, device: str | torch.device = 'cpu'):
        self.device = torch.device(device)

    @property
    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """Everything the rows depend on besides the items (model, revision, preprocessing), as JSON values."""

    @abstractmethod
    def keys(self, items: Sequence[Any]) -> list[str | None]:
        """What makes two items the same, for each item; None for one that cannot be read at all."""

    def order(self, items: Sequence[Any]) -> list[int]:
        """The order in which to encode the items, a function of the items alone."""
        return list(range(len(items)))

    def prepare(self, item: Any) -> Any:
        """What ``encode`` needs of an item.

        Raises:
            PictureError: If the item is a picture that cannot be used.
        """
        return item

    @abstractmethod
    def encode(self, batch: list[Any]) -> dict[str, Tensor]:
        """Rows of a batch of prepared items: column name to float ``[B, width]``."""

    def rows(self, batch: list[Any]) -> dict[str, Tensor]:
        """:meth:`encode` without gradients, in mixed precision on a GPU, as float32 on the CPU."""
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, self.device.type == 'cuda'):
            columns = self.encode(batch)
        return {name: rows.float().cpu() for name, rows in columns.items()}
