from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F

from drin_pyg.datasets import Entity, Mention
from drin_pyg.features.backbones import load_backbone
from drin_pyg.features.clip_encoder import ClipModel
from drin_pyg.features.encode_rows import IN_MEMORY, Encoding
from drin_pyg.features.object_encoder import ObjectEncoder, faster_rcnn
from drin_pyg.features.picture_encoder import PictureEncoders
from drin_pyg.features.preset import ENTITY, MENTION, Preset, entity_words, gather
from drin_pyg.features.side_tables import SideTables
from drin_pyg.features.text_encoder import TextEncoder
from drin_pyg.vocabulary import IMAGE_IMAGE, IMAGE_TEXT, TEXT_IMAGE, TEXT_TEXT

NUM_OBJECTS = {MENTION: 3, ENTITY: 1}  # Section 3.3


class PaperFeatures(Preset):
    r"""The features of the DRIN paper (Sections 3.2 and 3.3), preset ``"paper"``.

    * ``text``: BERT; a mention is the mean of its own tokens in the sentence (of the whole sentence
      where it does not occur in it, or what ``outside`` says), an entity the pooler's output (the paper on WikiDiverse;
      ``pooling="tokens"``, with [CLS] for the first weight, on WikiMEL).
    * ``image``: ResNet-152, the mean of the 49 regions.
    * First weights: text-text is the cosine of mention and pooled entity; text-image and image-text
      are CLIP cosines of the sentence or image with the entity's image or text; image-image compares
      the objects that a detector finds, 3 in a mention's image and 1 in an entity's.

    Every model is a name (downloaded on first use, some 1.2 GB in all) or a local path.

    Args:
        text: A transformers model.
        pooling: ``"pooler"`` or ``"tokens"``: of the entity's text.
        image: ``"torchvision:NAME"``, ``"timm:NAME"`` or ``"transformers:NAME"``.
        image_weights: Of a torchvision model: name of its weights, or a local file.
        detector: Weights of torchvision's Faster R-CNN: a name or a local file.
        clip: OpenCLIP architecture, or ``"local-dir:/folder"``.
        clip_pretrained: Its weights: a tag or a local file.
        outside: What stands in for a mention that does not occur in its sentence: the whole
            ``"sentence"``, or the mention's ``"words"`` alone.
        max_length: Window of the text model in tokens.
        batch_size: Pictures encoded at once.
        device: Where the models run.
        how: How encoders are run.
    """

    name = 'paper'

    def __init__(
        self,
        text: str = 'google-bert/bert-base-cased',
        pooling: str = 'pooler',
        image: str = 'torchvision:resnet152',
        image_weights: str = 'IMAGENET1K_V2',
        detector: str = 'COCO_V1',
        clip: str = 'ViT-B-32',
        clip_pretrained: str = 'openai',
        outside: Literal['sentence', 'words'] = 'sentence',
        max_length: int = 128,
        batch_size: int = 16,
        device: str = 'cpu',
        how: Encoding = IN_MEMORY,
    ):
        super().__init__(how)
        if pooling not in ('pooler', 'tokens'):
            raise ValueError(f"'pooling' must be 'pooler' or 'tokens', got {pooling!r}")
        if outside not in ('sentence', 'words'):
            raise ValueError(f"'outside' must be 'sentence' or 'words', got {outside!r}")
        self.text, self.pooling, self.image, self.image_weights = text, pooling, image, image_weights
        self.detector, self.clip, self.clip_pretrained = detector, clip, clip_pretrained
        self.outside, self.max_length, self.batch_size, self.device = outside, max_length, batch_size, device

    @property
    def options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ('text', 'pooling', 'image', 'image_weights', 'detector', 'clip',
                                                       'clip_pretrained', 'outside', 'max_length')}

    def mentions(self, records: Sequence[Mention], out: Path | None = None) -> SideTables:
        encoder = self._text_encoder(('span', ))
        words = self.outside == 'words'
        texts = [(mention.surface if words and mention.span is None else mention.sentence, mention.span)
                 for mention in records]
        found = self.run(encoder, texts, MENTION)
        return self._side(records, [mention.sentence for mention in records], found.columns['span'],
                          found.columns['span'], found.index, MENTION, out)

    def entities(self, records: Sequence[Entity], out: Path | None = None) -> SideTables:
        texts = [entity_words(entity) for entity in records]
        key = 'pooler' if self.pooling == 'pooler' else 'cls'
        encoder = self._text_encoder(tuple(dict.fromkeys((self.pooling, key))))
        found = self.run(encoder, [(text, None) for text in texts], ENTITY)
        return self._side(records, texts, found.columns[self.pooling], found.columns[key], found.index, ENTITY,
                          out)

    def _text_encoder(self, pooling: tuple[str, ...]) -> TextEncoder:
        return TextEncoder(self.text, pooling, max_length=self.max_length, device=self.device)

    @cached_property
    def _clip(self) -> ClipModel:
        return ClipModel(self.clip, self.clip_pretrained, device=self.device)

    @cached_property
    def _backbone(self):
        options = {'weights': self.image_weights} if self.image.startswith('torchvision:') else {}
        return load_backbone(self.image, batch_size=self.batch_size, device=self.device, **options)

    @cached_property
    def _detector(self) -> torch.nn.Module:
        return faster_rcnn(self.detector)

    def _side(self, records, texts, text, key, index, side, out) -> SideTables:
        clip = self.run(self._clip.text_encoder(), texts, side)
        columns, rows, ptr = self.encode_pictures(PictureEncoders({
            'image': self._backbone,
            'clip': self._clip.picture_encoder(),
            'objects': ObjectEncoder(self._detector, self._backbone, NUM_OBJECTS[side], self.batch_size),
        }), records, side)

        def table(name, column, at):
            return gather(column, at, None if out is None else out / f'{name}.npy')

        clip_text = table('clip_text', clip.columns['pooled'], clip.index)
        clip_image = table('clip_image', columns['clip.pooled'], rows)
        return SideTables(
            text=table('text', text, index),
            image=table('image', columns['image.pooled'], rows),
            ptr=ptr,
            weight={
                TEXT_TEXT: table('text_key', F.normalize(key, dim=-1), index),
                TEXT_IMAGE: clip_text if side == MENTION else clip_image,
                IMAGE_TEXT: clip_image if side == MENTION else clip_text,
                IMAGE_IMAGE: table('objects', columns['objects.pooled'], rows),
            },
        )
