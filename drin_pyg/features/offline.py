from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from drin_pyg.datasets import Entity, Mention
from drin_pyg.features.encode_rows import IN_MEMORY, Encoding
from drin_pyg.features.pair_tables import check_finite
from drin_pyg.features.picture_descriptors import BLOCKS, DescriptorEncoder, regions_of
from drin_pyg.features.preset import ENTITY, MENTION, Preset, entity_words
from drin_pyg.features.sequences import Sequences, token_sequences
from drin_pyg.features.side_tables import SideTables
from drin_pyg.features.text_encoder import TextEncoder
from drin_pyg.vocabulary import IMAGE_IMAGE, IMAGE_TEXT, TEXT_IMAGE, TEXT_TEXT

BLOCK_WEIGHTS = (1.0, 1.0, 1.0, 0.5)  # the colour histogram says least on its own
COMPONENTS = 256
RIDGE = {'kernel': 'rbf', 'gamma': 2.0, 'alpha': 0.5}  # of unit vectors, the kernel is exp(4 (cos - 1))
MAX_FIT = 4000  # pictures to learn the translations from: their cost grows with the cube


class OfflineFeatures(Preset):
    r"""Features of texts and drawings without any download, preset ``"offline"``.

    * Texts: MiniLM, mean over tokens; an entity's text is "name. description".
    * Pictures: :class:`DescriptorEncoder`, reduced to 256 components
      (:class:`sklearn.decomposition.PCA`).
    * First weights: text-text and image-image are cosines. Text-image and image-text compare a
      vertex with the other's translation by :class:`sklearn.kernel_ridge.KernelRidge`, fitted on
      the entities, whose texts and pictures belong together (on 4,000 of their pictures, spread
      evenly, if there are more).

    Everything is fitted on the knowledge base alone; no mention and no answer is used.

    Args:
        how: How encoders are run.
    """

    name = 'offline'

    def __init__(self, how: Encoding = IN_MEMORY):
        super().__init__(how)
        self._state: dict[str, Tensor] = {}

    @property
    def options(self) -> dict[str, Any]:
        return {}

    @property
    def state(self) -> dict[str, Tensor]:
        return self._state

    def load_state(self, state: dict[str, Tensor]) -> None:
        names = {'block_mean', 'text_mean', 'components', 'mean', *(f'{name}.{part}' for name in ('to_image', 'to_text')
                                                                   for part in ('source', 'dual'))}
        if wrong := sorted(names ^ state.keys()):
            raise ValueError(f"What preset '{self.name}' learned from the entities is wrong about '{wrong[0]:.40}'")
        for name, value in state.items():
            check_finite(f"'{name}' of preset '{self.name}'", value)
        self._state = dict(state)

    @cached_property
    def text_encoder(self) -> TextEncoder:
        """MiniLM."""
        return TextEncoder.minilm()

    def entities(self, records: Sequence[Entity], out: Path | None = None) -> SideTables:
        r"""Learns from the entities, and makes their tables.

        Raises:
            ValueError: If fewer than two entities have a picture: there is nothing to fit on.
        """
        text = self._encode_texts([entity_words(entity) for entity in records], ENTITY)  # [R, 384]
        blocks, ptr = self._describe(records, ENTITY)
        if blocks.size(0) < 2:
            raise ValueError(f"The offline features learn from the entities' pictures, but only {blocks.size(0)} of "
                             f"{len(records)} entities have one that can be used; for texts alone, the preset is "
                             f"'text'")
        self._fit(text, blocks, torch.repeat_interleave(ptr.diff()))
        image = self._reduce(blocks)  # [I, 256]
        unit = F.normalize(image, dim=-1)
        return SideTables(text, image, ptr, {
            TEXT_TEXT: F.normalize(text, dim=-1),
            TEXT_IMAGE: unit,
            IMAGE_TEXT: F.normalize(text - self._state['text_mean'], dim=-1),
            IMAGE_IMAGE: unit,
        })

    def mentions(self, records: Sequence[Mention], out: Path | None = None) -> SideTables:
        text = self._encode_texts([mention.sentence for mention in records], MENTION)  # [M, 384]
        blocks, ptr = self._describe(records, MENTION)
        image = self._reduce(blocks)  # [J, 256]
        unit = F.normalize(image, dim=-1)
        return SideTables(text, image, ptr, {
            TEXT_TEXT: F.normalize(text, dim=-1),
            TEXT_IMAGE: F.normalize(self._translate('to_image', text), dim=-1),
            IMAGE_TEXT: F.normalize(self._translate('to_text', unit), dim=-1),
            IMAGE_IMAGE: unit,
        })

    def sequences(self, records: Sequence[Mention]) -> tuple[Sequences, Sequences]:
        r"""Tokens of the sentences, and the regions of the drawings (:func:`regions_of`), those of all drawings of a
        mention after one another."""
        tokens = token_sequences(self.text_encoder, [mention.sentence for mention in records],
                                 [mention.span for mention in records], self.how.progress)
        blocks, ptr = self._describe(records, MENTION)
        regions = regions_of(blocks)  # [J, 16, 148]
        return tokens, Sequences(regions.flatten(0, 1), ptr * regions.size(1))

    def _fit(self, text: Tensor, blocks: Tensor, owner: Tensor) -> None:
        from sklearn.decomposition import PCA
        from sklearn.kernel_ridge import KernelRidge

        self._state = {'block_mean': blocks.mean(0), 'text_mean': text.mean(0)}
        pca = PCA(min(COMPONENTS, *blocks.shape), random_state=0).fit(self._weigh(blocks).numpy())
        self._state |= {'components': torch.from_numpy(pca.components_), 'mean': torch.from_numpy(pca.mean_)}
        chosen = torch.arange(blocks.size(0))
        if blocks.size(0) > MAX_FIT:
            chosen = torch.linspace(0, blocks.size(0) - 1, MAX_FIT).round().long()
        texts, images = text[owner[chosen]], self._reduce(blocks[chosen])
        for name, source, target in (('to_image', texts, images),
                                     ('to_text', F.normalize(images, dim=-1), texts - self._state['text_mean'])):
            ridge = KernelRidge(**RIDGE).fit(source.numpy(), target.numpy())
            self._state |= {f'{name}.source': source, f'{name}.dual': torch.from_numpy(ridge.dual_coef_)}

    def _encode_texts(self, texts: list[str], side: str) -> Tensor:
        found = self.run(self.text_encoder, [(text, None) for text in texts], side)
        return found.columns['mean'][found.index]

    def _describe(self, records: Sequence[Entity | Mention], side: str) -> tuple[Tensor, Tensor]:
        """Descriptors of all pictures of the records that can be used, ``[rows, F]``, and whose they are."""
        columns, rows, ptr = self.encode_pictures(DescriptorEncoder(), records, side)
        return columns['descriptors'][rows], ptr

    def _weigh(self, blocks: Tensor) -> Tensor:
        """Each block centred on the knowledge base and scaled to its weight."""
        parts = (blocks - self._state['block_mean']).split(BLOCKS, dim=-1)
        return torch.cat([w * F.normalize(part, dim=-1) for w, part in zip(BLOCK_WEIGHTS, parts, strict=True)], dim=-1)

    def _reduce(self, blocks: Tensor) -> Tensor:
        return (self._weigh(blocks) - self._state['mean']) @ self._state['components'].t()

    def _translate(self, name: str, x: Tensor) -> Tensor:
        """Prediction of the kernel ridge regression that was fitted under the name."""
        from sklearn.metrics.pairwise import rbf_kernel

        dual = self._state[f'{name}.dual']
        if x.size(0) == 0:
            return torch.empty(0, dual.size(1))
        kernel = rbf_kernel(x.numpy(), self._state[f'{name}.source'].numpy(), RIDGE['gamma'])
        return torch.from_numpy((kernel @ dual.numpy()).astype(np.float32))
