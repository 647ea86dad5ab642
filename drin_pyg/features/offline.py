from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.utils import cumsum

from drin_pyg.datasets.records import Entity, Mention
from drin_pyg.features.candidates import NIL, Candidates
from drin_pyg.features.first_weights import cosine_tables
from drin_pyg.features.pair_tables import PairTables
from drin_pyg.features.picture_descriptors import BLOCKS, describe_pictures
from drin_pyg.features.text_encoder import TextEncoder
from drin_pyg.vocabulary import (
    ENTITY_IMAGE,
    ENTITY_TEXT,
    IMAGE_IMAGE,
    IMAGE_TEXT,
    MENTION_IMAGE,
    MENTION_TEXT,
    TEXT_IMAGE,
    TEXT_TEXT,
)

BLOCK_WEIGHTS = (1.0, 1.0, 1.0, 0.5)  # the colour histogram says least on its own
COMPONENTS = 256
RIDGE = {'kernel': 'rbf', 'gamma': 2.0, 'alpha': 0.5}  # of unit vectors, the kernel is exp(4 (cos - 1))


class OfflineFeatures:
    r"""Features of texts and drawings without any download: the ``offline`` preset.

    * Texts: MiniLM, mean over tokens; an entity's text is "name. description".
    * Pictures: :func:`describe_pictures`, reduced to 256 components (:class:`sklearn.decomposition.PCA`).
    * First weights: text-text and image-image are cosines. Text-image and image-text compare a
      vertex with the other's translation by :class:`sklearn.kernel_ridge.KernelRidge`, fitted on
      the entities, whose texts and pictures belong together.

    Everything is fitted on the knowledge base alone; no mention and no answer is used.

    Args:
        entities: The knowledge base.
        progress: Whether to show progress bars.

    Raises:
        ValueError: If fewer than two entities have a picture: there is nothing to fit on.
    """

    def __init__(self, entities: Sequence[Entity], progress: bool = False):
        from sklearn.decomposition import PCA
        from sklearn.kernel_ridge import KernelRidge

        self.progress = progress
        self.text_encoder = TextEncoder.minilm()
        self.entities = list(entities)
        self.entity_text = self.text_encoder([f'{e.name}. {e.description}' for e in entities], progress)  # [R, 384]
        blocks, self.entity_ptr = self._describe(entities)
        if blocks.size(0) < 2:
            raise ValueError(f"The offline features learn from the entities' pictures, but only {blocks.size(0)} of "
                             f"the {len(self.entities)} entities have one")
        self.block_mean = blocks.mean(0)
        self.pca = PCA(min(COMPONENTS, *blocks.shape), random_state=0).fit(self._weigh(blocks).numpy())
        self.entity_image = self._reduce(blocks)                                                          # [I, 256]

        owner = torch.repeat_interleave(self.entity_ptr[1:] - self.entity_ptr[:-1])
        self.text_mean = self.entity_text.mean(0)
        texts, images = self.entity_text[owner], F.normalize(self.entity_image, dim=-1)
        self.to_image = KernelRidge(**RIDGE).fit(texts.numpy(), self.entity_image.numpy())
        self.to_text = KernelRidge(**RIDGE).fit(images.numpy(), (texts - self.text_mean).numpy())

    def tables(self, mentions: Sequence[Mention]) -> PairTables:
        r"""Tables of the given mentions and of all entities."""
        text = self.text_encoder([mention.sentence for mention in mentions], self.progress)  # [M, 384]
        blocks, ptr = self._describe(mentions)
        image = self._reduce(blocks)                                                         # [J, 256]
        return PairTables(
            x={
                MENTION_TEXT: text,
                MENTION_IMAGE: image,
                ENTITY_TEXT: self.entity_text,
                ENTITY_IMAGE: self.entity_image,
            },
            weight={
                TEXT_TEXT: cosine_tables(text, self.entity_text),
                TEXT_IMAGE: cosine_tables(_predict(self.to_image, text), self.entity_image),
                IMAGE_TEXT: cosine_tables(_predict(self.to_text, F.normalize(image, dim=-1)),
                                          self.entity_text - self.text_mean),
                IMAGE_IMAGE: cosine_tables(image, self.entity_image),
            },
            ptr={MENTION_IMAGE: ptr, ENTITY_IMAGE: self.entity_ptr},
        )

    def candidates(self, mentions: Sequence[Mention]) -> Candidates:
        r"""Candidate lists and answers of the mentions, by entity row.

        Raises:
            ValueError: If a candidate or answer is no entity of the knowledge base.
        """
        row = {entity.id: i for i, entity in enumerate(self.entities)}
        for mention in mentions:
            for name in (*mention.candidates, *filter(None, [mention.answer])):
                if name not in row:
                    raise ValueError(f"Mention '{mention.id}' names the entity '{name}', which is not in the knowledge "
                                     f"base of {len(row)} entities")
        return Candidates.from_lists([[row[c] for c in mention.candidates] for mention in mentions],
                                     [NIL if mention.answer is None else row[mention.answer] for mention in mentions])

    def _describe(self, records: Sequence[Entity | Mention]) -> tuple[Tensor, Tensor]:
        """Descriptors of all pictures of the records, ``[rows, F]``, and whose they are."""
        counts = torch.tensor([len(record.pictures) for record in records], dtype=torch.long)
        pictures = [picture.open() for record in records for picture in record.pictures]
        return describe_pictures(pictures, self.progress), cumsum(counts)

    def _weigh(self, blocks: Tensor) -> Tensor:
        """Each block centred on the knowledge base and scaled to its weight."""
        parts = (blocks - self.block_mean).split(BLOCKS, dim=-1)
        return torch.cat([w * F.normalize(part, dim=-1) for w, part in zip(BLOCK_WEIGHTS, parts, strict=True)], dim=-1)

    def _reduce(self, blocks: Tensor) -> Tensor:
        if blocks.size(0) == 0:
            return torch.empty(0, self.pca.n_components_)
        return torch.from_numpy(self.pca.transform(self._weigh(blocks).numpy()).astype(np.float32))


def _predict(model, x: Tensor) -> Tensor:
    if x.size(0) == 0:
        return torch.empty(0, model.dual_coef_.shape[1])
    return torch.from_numpy(model.predict(x.numpy()).astype(np.float32))
