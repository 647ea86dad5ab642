import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from drin_pyg.datasets import Picture
from drin_pyg.features.row_encoder import RowEncoder
from drin_pyg.files import digest_file

if TYPE_CHECKING:
    from PIL import Image


class PictureEncoder(RowEncoder):
    r"""A frozen network that turns pictures into vectors: column ``"pooled"``.

    Identical files are encoded once. Pictures that cannot be decoded are no rows, and counted.
    See :mod:`drin_pyg.features.backbones` for torchvision, timm, transformers and OpenCLIP networks.

    Args:
        model: ``[B, 3, H, W]`` to ``[B, F]``.
        transform: Turns an RGB picture into ``[3, H, W]``.
        spec: The model, its revision and the preprocessing; see :attr:`RowEncoder.spec`.
        batch_size: Pictures encoded at once.
        device: As in :class:`RowEncoder`.
    """

    name = 'pictures'

    def __init__(
        self,
        model: Callable[[Tensor], Tensor],
        transform: 'Callable[[Image.Image], Tensor]',
        spec: dict[str, Any],
        *,
        batch_size: int = 64,
        device: str | torch.device = 'cpu',
    ):
        super().__init__(device)
        self.model = model.eval().to(self.device) if isinstance(model, torch.nn.Module) else model
        self.transform = transform
        self.batch_size = batch_size
        self._spec = spec

    @property
    def spec(self) -> dict[str, Any]:
        return self._spec

    def keys(self, items: Sequence[Picture]) -> list[str | None]:
        return picture_keys(items)

    def prepare(self, item: Picture) -> Tensor:
        return self.transform(item.open())

    def encode(self, batch: list[Tensor]) -> dict[str, Tensor]:
        if not batch:  # one blank picture tells the width
            from PIL import Image

            return {'pooled': self.model(self.transform(Image.new('RGB', (64, 64)))[None].to(self.device))[:0]}
        return {'pooled': self.model(torch.stack(batch).to(self.device))}


class PictureEncoders(RowEncoder):
    r"""Several encoders over the same pictures, each of which is decoded once.

    Args:
        parts: Name to encoder; the columns of ``a`` become ``"a.pooled"`` and so on.
    """

    name = 'pictures'

    def __init__(self, parts: dict[str, RowEncoder]):
        first = next(iter(parts.values()))
        super().__init__(first.device)
        self.parts = parts
        self.batch_size = first.batch_size

    @property
    def spec(self) -> dict[str, Any]:
        return {name: part.spec for name, part in self.parts.items()}

    def keys(self, items: Sequence[Picture]) -> list[str | None]:
        return picture_keys(items)

    def prepare(self, item: Picture) -> dict[str, Any]:
        opened = _Opened(item.open())
        return {name: part.prepare(opened) for name, part in self.parts.items()}

    def encode(self, batch: list[dict[str, Any]]) -> dict[str, Tensor]:
        return {f'{name}.{column}': rows for name, part in self.parts.items()
                for column, rows in part.encode([prepared[name] for prepared in batch]).items()}


class _Opened:
    """A picture in memory, with the one method of :class:`Picture` that encoders use."""

    def __init__(self, image: 'Image.Image'):
        self._image = image

    def open(self) -> 'Image.Image':
        return self._image


def picture_keys(pictures: Sequence[Picture]) -> list[str | None]:
    r"""What the files hold (and which cell is meant), so that copies count as one; None for what cannot be read."""
    paths = list(dict.fromkeys(picture.path for picture in pictures))
    with ThreadPoolExecutor() as pool:  # hashing and reading leave the interpreter's lock alone
        digests = dict(zip(paths, pool.map(_digest, paths), strict=True))
    return [None if digests[picture.path] is None else f'{digests[picture.path]}{picture.box or ""}'
            for picture in pictures]


def _digest(path: Path) -> str | None:
    try:
        if stat.S_ISREG(os.stat(path).st_mode):  # a pipe would be waited for
            return digest_file(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):  # no permission, or a name that no file can have
        pass
    return hashlib.sha256(str(path).encode('utf-8', 'surrogatepass')).hexdigest()  # decoding will say what is wrong
