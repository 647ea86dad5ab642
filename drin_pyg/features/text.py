from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch_geometric.typing import EdgeType
from torch_geometric.utils import cumsum

from drin_pyg.datasets import Entity, Mention
from drin_pyg.features.candidates import Candidates
from drin_pyg.features.encode_rows import IN_MEMORY, Encoding
from drin_pyg.features.learned_weights import LearnedWeights
from drin_pyg.features.pair_features import NUM_BINS, PairFeatures
from drin_pyg.features.pair_tables import PairTables
from drin_pyg.features.preset import ENTITY, MENTION, Preset, entity_words, gather
from drin_pyg.features.sequences import Sequences, token_sequences
from drin_pyg.features.side_tables import SideTables
from drin_pyg.features.text_encoder import TextEncoder
from drin_pyg.vocabulary import EDGE_TYPES, ENTITY_TEXT, IMAGE_IMAGE, MENTION_TEXT, TEXT_IMAGE, TEXT_TEXT

Images = Literal['names', 'captions', 'absent']


class TextFeatures(Preset):
    r"""Features for data without pictures, preset ``"text"``: MiniLM for everything, no download.

    The text vertices are the sentence and "name. description". What stands in for the images is an
    explicit choice:

    * ``images="names"``: the image vertices are the mention's words and the entity's name, which is then left out
      of the description, so the four relations are sentence-description, sentence-name, words-description and
      words-name;
    * ``images="captions"``: a mention's image vertices are its captions, entities have none;
    * ``images="absent"``: there are none, and text-text is the only relation with edges.

    First weights are cosines, or, with ``weights="learned"``, shares of a conditional logit over
    cosines and lexical features (:class:`PairFeatures`, :class:`LearnedWeights`) that is fitted on
    the answers of the split ``"train"``.

    Args:
        images: See above.
        weights: ``"learned"`` or ``"cosine"``.
        text: A transformers model; None for the MiniLM that needs no download.
        device: Where the model runs.
        how: How encoders are run.
    """

    name = 'text'

    def __init__(
        self,
        images: Images = 'names',
        weights: Literal['learned', 'cosine'] = 'learned',
        text: str | None = None,
        device: str = 'cpu',
        how: Encoding = IN_MEMORY,
    ):
        super().__init__(how)
        if images not in ('names', 'captions', 'absent'):
            raise ValueError(f"'images' must be 'names', 'captions' or 'absent', got {images!r}")
        if weights not in ('learned', 'cosine'):
            raise ValueError(f"'weights' must be 'learned' or 'cosine', got {weights!r}")
        self.images, self.weights, self.text, self.device = images, weights, text, device
        named = images == 'names'
        self._learned = LearnedWeights(
            {**{self._cosine_name(edge_type): edge_type for edge_type in (EDGE_TYPES if named else [TEXT_TEXT])},
             **dict.fromkeys(PairFeatures.NAMES, IMAGE_IMAGE if named else TEXT_TEXT),
             'name_in_sentence': TEXT_IMAGE if named else TEXT_TEXT,
             **dict.fromkeys(('shared_words', 'year_outside', 'gender_conflict', 'length'), TEXT_TEXT)},
            {'first_year': TEXT_TEXT, 'last_year': TEXT_TEXT}, NUM_BINS)

    @property
    def options(self) -> dict[str, Any]:
        return {'images': self.images, 'weights': self.weights, 'text': self.text}

    @property
    def state(self) -> dict[str, Tensor]:
        return self._learned.state

    def load_state(self, state: dict[str, Tensor]) -> None:
        self._learned.state = dict(state)

    @cached_property
    def _encoder(self) -> TextEncoder:
        if self.text is None:
            return TextEncoder.minilm(device=self.device)
        return TextEncoder(self.text, normalize=True, device=self.device)

    def mentions(self, records: Sequence[Mention], out: Path | None = None) -> SideTables:
        images = {'names': lambda mention: (mention.surface, ), 'captions': lambda mention: mention.captions,
                  'absent': lambda mention: ()}[self.images]
        return self._side([mention.sentence for mention in records], [images(mention) for mention in records], MENTION,
                          out)

    def entities(self, records: Sequence[Entity], out: Path | None = None) -> SideTables:
        named = self.images == 'names'
        texts = [_description(entity) if named else entity_words(entity) for entity in records]
        return self._side(texts, [(entity.name, ) if named else () for entity in records], ENTITY, out)

    def sequences(self, records: Sequence[Mention]) -> tuple[Sequences, Sequences]:
        r"""Tokens of the sentences; there are no pictures, so nobody has a region."""
        tokens = token_sequences(self._encoder, [mention.sentence for mention in records],
                                 [mention.span for mention in records], self.how.progress)
        return tokens, Sequences(tokens.x[:0], torch.zeros_like(tokens.ptr))

    def _side(self, texts: list[str], images: list[tuple[str, ...]], side: str, out: Path | None) -> SideTables:
        words = [word for own in images for word in own]
        # Two tables: the texts' serves every choice of images, if its folder is kept.
        found, named = (self.run(self._encoder, [(text, None) for text in part], side) for part in (texts, words))
        text = gather(found.columns['mean'], found.index, out and out / 'text.npy')
        image = gather(named.columns['mean'], named.index, out and out / 'image.npy')
        ptr = cumsum(torch.tensor([len(own) for own in images], dtype=torch.long))
        end = 0 if side == MENTION else 2
        return SideTables(text, image, ptr, {
            edge_type: text if edge_type[end] in (MENTION_TEXT, ENTITY_TEXT) else image for edge_type in EDGE_TYPES})

    def learn(
        self,
        tables: PairTables,
        candidates: Candidates,
        mentions: Sequence[Mention],
        entities: Sequence[Entity],
        train: Tensor,
    ) -> None:
        if self.weights == 'learned':
            self._learned.fit(self._features(tables, candidates, mentions, entities), candidates, train)

    def pair_weights(
        self,
        tables: PairTables,
        candidates: Candidates,
        mentions: Sequence[Mention],
        entities: Sequence[Entity],
    ) -> dict[EdgeType, Tensor]:
        if self.weights == 'cosine':
            return {}
        return self._learned(self._features(tables, candidates, mentions, entities))

    def _features(self, tables, candidates, mentions, entities) -> dict[str, Tensor]:
        if self._lexical is None or self._lexical[0] is not entities:
            self._lexical = entities, PairFeatures(entities)
        features = self._lexical[1](mentions, candidates)
        mention, entity = candidates.mention, candidates.entity
        for edge_type, name in ((t, self._cosine_name(t)) for t in EDGE_TYPES):
            if name in self._learned.relation:
                rows = (tables.first_row(edge_type[0], mention), tables.first_row(edge_type[2], entity))
                features[name] = torch.cat([tables.first_weight(edge_type, m, e)
                                            for m, e in zip(*(r.split(CHUNK) for r in rows), strict=True)])
        return features

    _lexical: tuple[Sequence[Entity], PairFeatures] | None = None

    @staticmethod
    def _cosine_name(edge_type: EdgeType) -> str:
        return f'cosine {edge_type[1]}'


def _description(entity: Entity) -> str:
    """The description without the name at its head; the name if nothing else is there."""
    text = entity.description.strip()
    return text.removeprefix('Name: ').removeprefix(entity.name).lstrip(' .,:;') or entity.name


CHUNK = 65536  # pairs at once
