from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from drin_pyg.datasets import Entity, Mention
from drin_pyg.features.clip_encoder import ClipModel
from drin_pyg.features.encode_rows import IN_MEMORY, Encoding
from drin_pyg.features.preset import ENTITY, MENTION, Preset, entity_words, gather
from drin_pyg.features.side_tables import SideTables
from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_TEXT, MENTION_TEXT


class ClipFeatures(Preset):
    r"""All vertices and all four first weights from one CLIP model, preset ``"clip"``.

    Vertices are unit embeddings of the sentence, the entity's text and the pictures; the first
    weight of every relation is the cosine of its two ends.

    Args:
        clip: OpenCLIP architecture, or ``"local-dir:/folder"``.
        clip_pretrained: Its weights: a tag (downloaded on first use, 350 MB) or a local file.
        batch_size: Texts or pictures encoded at once.
        device: Where the model runs.
        how: How encoders are run.
    """

    name = 'clip'

    def __init__(
        self,
        clip: str = 'ViT-B-32',
        clip_pretrained: str = 'openai',
        batch_size: int = 64,
        device: str = 'cpu',
        how: Encoding = IN_MEMORY,
    ):
        super().__init__(how)
        self.clip, self.clip_pretrained, self.batch_size, self.device = clip, clip_pretrained, batch_size, device

    @property
    def options(self) -> dict[str, Any]:
        return {'clip': self.clip, 'clip_pretrained': self.clip_pretrained}

    @cached_property
    def _model(self) -> ClipModel:
        return ClipModel(self.clip, self.clip_pretrained, batch_size=self.batch_size, device=self.device)

    def mentions(self, records: Sequence[Mention], out: Path | None = None) -> SideTables:
        return self._side(records, [mention.sentence for mention in records], MENTION, out)

    def entities(self, records: Sequence[Entity], out: Path | None = None) -> SideTables:
        return self._side(records, [entity_words(entity) for entity in records], ENTITY, out)

    def _side(self, records, texts: list[str], side: str, out: Path | None) -> SideTables:
        found = self.run(self._model.text_encoder(), texts, side)
        columns, rows, ptr = self.encode_pictures(self._model.picture_encoder(), records, side)
        text = gather(found.columns['pooled'], found.index, None if out is None else out / 'text.npy')
        image = gather(columns['pooled'], rows, None if out is None else out / 'image.npy')
        end = 0 if side == MENTION else 2
        return SideTables(text, image, ptr, {edge_type: text if edge_type[end] in (MENTION_TEXT, ENTITY_TEXT) else image
                                             for edge_type in EDGE_TYPES})
