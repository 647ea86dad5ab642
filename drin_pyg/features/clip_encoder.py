from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from drin_pyg.features.picture_encoder import PictureEncoder
from drin_pyg.features.revision import loading, revision_of
from drin_pyg.features.row_encoder import RowEncoder


class ClipModel:
    r"""A CLIP model of OpenCLIP, whose embeddings of texts and pictures compare by their cosine.

    Similarities follow from embeddings that are computed once a text and once a picture, never once
    a pair (DRIN's text-image and image-text weights, Section 3.3, are these cosines).

    Args:
        name: Architecture, such as ``"ViT-B-32"``, or ``"hf-hub:owner/model"`` or
            ``"local-dir:/folder"`` with ``open_clip_config.json`` and weights.
        pretrained: Tag of OpenCLIP's weights, such as ``"openai"``, or a local file; unused for a hub
            or folder.
        batch_size: Texts or pictures encoded at once.
        device: As in :class:`RowEncoder`.
    """

    def __init__(
        self,
        name: str = 'ViT-B-32',
        pretrained: str = 'openai',
        *,
        batch_size: int = 64,
        device: str | torch.device = 'cpu',
    ):
        self.model_name = name
        self.pretrained = None if ':' in name else pretrained
        self.batch_size = batch_size
        self.device = torch.device(device)

    @cached_property
    def _loaded(self):
        try:
            import open_clip
        except ImportError as error:
            raise ImportError("CLIP needs 'open_clip_torch'; install drin_pyg[image]") from error

        # OpenAI's own weights were trained with this activation; the architecture's name alone does not say so.
        quick = {'force_quick_gelu': True} if self.pretrained == 'openai' else {}
        with loading(f"{self.model_name}, {self.pretrained or 'its own weights'}"):
            model, _, transform = open_clip.create_model_and_transforms(
                self.model_name, pretrained=self.pretrained, **quick)
            tokenizer = open_clip.get_tokenizer(self.model_name)
        return model.eval().to(self.device), transform, tokenizer

    @cached_property
    def spec(self) -> dict[str, Any]:
        """The model, for manifests."""
        folder = self.model_name.removeprefix('local-dir:')
        if folder != self.model_name or (self.pretrained and Path(self.pretrained).is_file()):
            revision = revision_of(folder if self.pretrained is None else self.pretrained, lambda: None)
        else:
            revision = self.pretrained or self.model_name
        return {'encoder': 'open_clip', 'model': Path(folder).name if folder != self.model_name else self.model_name,
                'revision': revision}

    def picture_encoder(self) -> PictureEncoder:
        """Pictures to unit embeddings."""
        model, transform, _ = self._loaded
        spec = {**self.spec, 'preprocessing': ' '.join(repr(transform).split())}
        return PictureEncoder(lambda pixels: model.encode_image(pixels, normalize=True), transform, spec,
                              batch_size=self.batch_size, device=self.device)

    def text_encoder(self) -> 'ClipTextEncoder':
        """Texts to unit embeddings."""
        return ClipTextEncoder(self)


class ClipTextEncoder(RowEncoder):
    r"""Texts to unit embeddings of a CLIP model, column ``"pooled"``; what is beyond its 77 tokens is cut off."""

    name = 'texts for pictures'

    def __init__(self, clip: ClipModel):
        super().__init__(clip.device)
        self.clip = clip
        self.batch_size = clip.batch_size

    @property
    def spec(self) -> dict[str, Any]:
        return {**self.clip.spec, 'side': 'text'}

    def keys(self, items: Sequence[str]) -> list[str]:
        return list(items)

    def order(self, items: Sequence[str]) -> list[int]:
        return sorted(range(len(items)), key=lambda i: (len(items[i]), items[i]))

    def encode(self, batch: list[str]) -> dict[str, Tensor]:
        model, _, tokenizer = self.clip._loaded
        rows = model.encode_text(tokenizer(batch or ['']).to(self.device))
        return {'pooled': F.normalize(rows, dim=-1)[:len(batch)]}
