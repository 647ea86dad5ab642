import re
import unicodedata
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from drin_pyg.datasets import Entity, Mention
from drin_pyg.features.candidates import Candidates

YEAR = re.compile(r'\b(1\d{3}|20\d{2})\b')
WORD = re.compile(r'[a-z]+')
FEMALE = frozenset([
    'she', 'her', 'hers', 'herself', 'woman', 'women', 'girl', 'girls', 'female', 'lady', 'mrs', 'ms', 'miss',
    'actress', 'mother', 'wife', 'daughter', 'sister', 'queen', 'princess', 'duchess',
])
MALE = frozenset([
    'he', 'his', 'him', 'himself', 'man', 'men', 'boy', 'boys', 'male', 'gentleman', 'mr', 'sir', 'actor',
    'father', 'husband', 'son', 'brother', 'king', 'prince', 'duke', 'lord',
])
GAP, LOWEST, HIGHEST = 5, -20, 40  # years to a bin; bins from 100 years before to 200 years after
NUM_BINS = HIGHEST - LOWEST + 2    # and one for no year


class PairFeatures:
    r"""What the words of a mention and of a candidate have in common, beyond what embeddings see.

    Of the mention's words and the entity's name: :data:`NAMES`. Of the sentence and the name, or the
    description: :data:`WORDS`. Years are a feature of their own: how many of them lie between the
    last year that the sentence names and the first and last of the description (a life, a term in
    office), as bins for a log-ratio to be learned. ``gender_conflict`` says that the words about the mention, in its
    sentence and its captions, are of the other gender than those of the description (:func:`gender`).

    Args:
        entities: The knowledge base; its names and descriptions set the weights of words.
    """

    NAMES = ('token_set', 'subset', 'exact', 'last_word')
    WORDS = ('name_in_sentence', 'shared_words', 'year_outside', 'gender_conflict', 'length')

    def __init__(self, entities: Sequence[Entity]):
        self.names = [normalize(entity.name) for entity in entities]
        # A description that begins with the name would share it with every mention of the name.
        self.descriptions = [normalize(entity.description).removeprefix(f'name {name}')
                             for entity, name in zip(entities, self.names, strict=True)]
        self.length = np.log1p([len(text) for text in self.descriptions])
        years = [[int(year) for year in YEAR.findall(entity.description)] for entity in entities]
        self.first_year = np.array([min(found, default=0) for found in years])
        self.gender = np.array([gender(entity.description) for entity in entities])
        self.last_year = np.array([max(found) if len(set(found)) > 1 else 0 for found in years])

    @cached_property
    def _name_words(self):
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r'\b\w+\b')
        return vectorizer, _fit(vectorizer, self.names)

    @cached_property
    def _description_words(self):
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(sublinear_tf=True, stop_words='english')
        return vectorizer, _fit(vectorizer, self.descriptions)

    def __call__(self, mentions: Sequence[Mention], candidates: Candidates) -> dict[str, Tensor]:
        r"""Features of each pair, and bins of its years.

        Args:
            mentions: The ``M`` mentions.
            candidates: Their candidates, ``P`` pairs.

        Returns:
            Each name of :data:`NAMES` and :data:`WORDS` to float32 ``[P]``; ``"first_year"`` and
            ``"last_year"`` to int64 bins ``[P]`` in ``0..NUM_BINS - 1``, 0 where a year is missing.
        """
        from rapidfuzz import fuzz, process

        pair, entity = candidates.mention.numpy(), candidates.entity.numpy()
        surfaces = [normalize(mention.surface) for mention in mentions]
        sentences = [normalize(mention.sentence) for mention in mentions]
        left, right = [surfaces[i] for i in pair], [self.names[j] for j in entity]
        year = np.array([max(map(int, YEAR.findall(mention.sentence)), default=0) for mention in mentions],
                        dtype=np.int64)[pair]
        first, last = self.first_year[entity], self.last_year[entity]
        outside = (year > 0) & (first > 0) & ((year < first) | ((last > 0) & (year > last)))
        about = np.array([gender(' '.join((mention.sentence, *mention.captions))) for mention in mentions],
                         dtype=np.int64)[pair]
        features = {
            'token_set': process.cpdist(left, right, scorer=fuzz.token_set_ratio, dtype=np.float32) / 100,
            'subset': [set(a.split()) <= set(b.split()) for a, b in zip(left, right, strict=True)],
            'exact': [a == b for a, b in zip(left, right, strict=True)],
            'last_word': [a.split()[-1:] == b.split()[-1:] for a, b in zip(left, right, strict=True)],  # a surname
            'name_in_sentence': _shared(self._name_words, sentences, pair, entity),
            'shared_words': _shared(self._description_words, sentences, pair, entity),
            'year_outside': outside,
            'gender_conflict': about * self.gender[entity] < 0,
            'length': self.length[entity],
        }
        bins = {'first_year': _bins(year, first), 'last_year': _bins(year, last)}
        return {name: torch.from_numpy(np.asarray(x, dtype=np.float32)) for name, x in features.items()} \
            | {name: torch.from_numpy(x) for name, x in bins.items()}


def gender(text: str) -> int:
    r"""Gender of the persons that an English text speaks of: -1 if all its words of a gender are female, 1 if all are
    male, 0 if there are none or both. The words "female" and "male" go before all others, as a knowledge base states
    them."""
    words = set(WORD.findall(text.lower()))
    for female, male in (({'female'}, {'male'}), (FEMALE, MALE)):
        if words & (female | male):
            return bool(words & male) - bool(words & female)
    return 0


def normalize(text: str) -> str:
    r"""Lower case, without accents and punctuation; a text of another script stays as it is."""
    from rapidfuzz.utils import default_process

    plain = unicodedata.normalize('NFKD', text).encode('ascii', 'ignore').decode()
    return default_process(plain) or default_process(text)


def _bins(year: np.ndarray, other: np.ndarray) -> np.ndarray:
    gap = np.clip((year - other) // GAP, LOWEST, HIGHEST) - LOWEST + 1
    return np.where((year > 0) & (other > 0), gap, 0).astype(np.int64)


def _fit(vectorizer, texts: Sequence[str]):
    """TF-IDF rows of texts; None if there is no word in any of them."""
    try:
        return vectorizer.fit_transform(texts).astype(np.float32)
    except ValueError:
        return None


def _shared(words, sentences: Sequence[str], pair: np.ndarray, entity: np.ndarray, chunk: int = 65536) -> np.ndarray:
    """Cosine of the TF-IDF rows of sentence and entity, for each pair."""
    vectorizer, rows = words
    if rows is None or not len(pair):
        return np.zeros(len(pair), dtype=np.float32)
    own = vectorizer.transform(sentences).astype(np.float32)
    return np.concatenate([np.asarray(own[pair[i:i + chunk]].multiply(rows[entity[i:i + chunk]]).sum(1)).ravel()
                           for i in range(0, len(pair), chunk)])
