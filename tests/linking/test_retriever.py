import numpy as np
import pytest

from drin_pyg.datasets import EmojiMEL, EntityList
from drin_pyg.features import TextEncoder, side_tables
from drin_pyg.linking import Retriever, retrieve
from drin_pyg.linking.rankings import Ranking
from drin_pyg.linking.retriever import best
from tests.linking.small_base import ENTITIES, MENTIONS


class Fixed(Ranking):
    def __init__(self, scores):
        self.scores = np.asarray(scores, dtype=np.float32)

    def queries(self, mentions, side, how):
        return self.scores

    def __call__(self, queries):
        return queries


@pytest.mark.parametrize('k', [1, 2, 3, 7, 50])
def test_best_in_order_and_equal_ones_by_row(k):
    scores = np.random.default_rng(0).integers(0, 4, (30, 7)).astype(np.float32)
    expected = [sorted(range(7), key=lambda j: (-row[j], j))[:k] for row in scores]
    assert best(scores, k).tolist() == expected


def test_sum_of_rankings(monkeypatch):
    rng = np.random.default_rng(0)
    a, b = rng.random((11, 4)), rng.random((11, 4))
    retriever = Retriever(ENTITIES, ['name', 'bm25'])
    retriever.rankings = {'a': Fixed(a), 'b': Fixed(b)}
    whole = retriever.rank([None] * 11, 3)
    monkeypatch.setattr('drin_pyg.linking.retriever.CHUNK', 3)
    chunked = retriever.rank([None] * 11, 3)
    for name, scores in (('a', a), ('b', b), ('sum', a + b)):
        assert whole[name].tolist() == np.argsort(-scores, 1)[:, :3].tolist()
        assert chunked[name].tolist() == whole[name].tolist()
    assert retriever([None] * 11, 3).tolist() == whole['sum'].tolist()
    retriever.rankings = {'a': Fixed(a)}
    assert list(retriever.rank([None] * 11, 3)) == ['a']
    assert retriever([None] * 11, 3).tolist() == whole['a'].tolist()


@pytest.mark.parametrize('methods', [('name', 'bm25'), ('name', 'dense'), ('bm25', )])
def test_batches_that_come_later_are_ranked_as_a_data_set_is(methods):
    emoji = EmojiMEL()
    entities, mentions = EntityList(emoji.entities[::9]), emoji.mentions[::300]
    found, _ = retrieve(mentions, entities, 5, methods, replace_lists=True)
    retriever = Retriever(entities, methods)
    rows = np.concatenate([retriever(mentions[i:i + 5], 5) for i in range(0, len(mentions), 5)])
    assert rows.dtype == np.int64
    assert [tuple(entities[row].id for row in own) for own in rows] == [mention.candidates for mention in found]


def test_the_knowledge_base_is_prepared_once(monkeypatch):
    texts = []
    encode = TextEncoder.__call__
    monkeypatch.setattr(TextEncoder, '__call__', lambda self, some, *args, **kwargs: (
        texts.extend(some), encode(self, some, *args, **kwargs))[1])
    retriever = Retriever(ENTITIES)
    assert len(texts) == len(ENTITIES)
    for mention in MENTIONS[:3]:
        retriever([mention], 2)
    assert texts[4:] == [mention.sentence for mention in MENTIONS[:3]]


def test_features_see_pictures(emoji_data):
    """The text alone does not tell a swan from a goose; the rows of the right picture do."""
    mention = next(m for m in emoji_data.mentions if m.surface == 'bird' and m.pictures)
    own = emoji_data.preset.mentions([mention])
    rows = Retriever(emoji_data.entities, ['features'], side=side_tables(emoji_data.tables)[1])([mention], 10, own)
    assert emoji_data.entities.rows([mention.answer])[0] in rows[0]


def test_no_mentions_and_few_entities():
    assert Retriever(ENTITIES, ['name', 'bm25'])([], 3).shape == (0, 3)
    assert Retriever(ENTITIES, ['name'])(MENTIONS, 99).shape == (4, 4)


def test_nonsense_is_named():
    for arguments in ((EntityList([]), ), (ENTITIES, [])):
        with pytest.raises(ValueError, match='nothing to retrieve from'):
            Retriever(*arguments)
    with pytest.raises(ValueError, match="'k' must be at least 1, got 0"):
        Retriever(ENTITIES, ['name'])(MENTIONS, 0)
