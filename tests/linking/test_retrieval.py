from dataclasses import replace

import bm25s
import numpy as np
import pytest
from rapidfuzz import fuzz

from drin_pyg.datasets import EmojiMEL, Entity, EntityList, Mention
from drin_pyg.features import Encoding, TextEncoder
from drin_pyg.features.pair_features import normalize
from drin_pyg.linking import format_recall, retrieve
from drin_pyg.linking.retrieval import BM25Ranking, Ranking, _best, make_ranking, rank_entities

ENTITIES = EntityList([
    Entity('p', 'Paris', 'capital of France'),
    Entity('t', 'Paris', 'a town in Texas'),
    Entity('h', 'Paris Hilton', 'an heiress'),
    Entity('l', 'Lyon', 'city in France'),
])
MENTIONS = [
    Mention('1', 'paris', 'the town of Paris, Texas', (), 't', (), 'train'),
    Mention('2', 'Lyon', 'Lyon in France', (), 'l', (), 'test'),
    Mention('3', 'Hilton', 'the heiress Hilton', (), 'h', ('p', ), 'test'),
    Mention('4', 'nobody', '', (), None, (), 'test', nil=True),
]


def test_name_ranking():
    scores = make_ranking('name', MENTIONS, ENTITIES, Encoding())(1, 3)
    expected = [[fuzz.token_set_ratio(normalize(m.surface), normalize(e.name)) / 100 for e in ENTITIES]
                for m in MENTIONS[1:3]]
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_dense_ranking():
    scores = make_ranking('dense', MENTIONS, ENTITIES, Encoding())(0, 2)
    encode = TextEncoder.minilm()
    expected = encode([m.sentence for m in MENTIONS[:2]])['mean'] \
        @ encode([f'{e.name}. {e.description}' for e in ENTITIES])['mean'].t()
    np.testing.assert_allclose(scores, expected.numpy(), atol=1e-5)


def test_bm25_ranking():
    ranking = BM25Ranking(MENTIONS, ENTITIES)
    scores = ranking(0, 4)
    assert scores.max(1).tolist() == pytest.approx([1, 1, 1, 0])  # nothing known is said of the last
    assert scores.argmax(1)[:3].tolist() == [1, 3, 2]
    documents = [normalize(f'{e.name} {e.description}') for e in ENTITIES]
    index = bm25s.BM25()
    index.index(bm25s.tokenize(documents, show_progress=False), show_progress=False)
    found, values = index.retrieve(bm25s.tokenize(['paris the town of paris texas'], show_progress=False), k=4,
                                   show_progress=False)
    np.testing.assert_allclose(scores[0, found[0]], values[0] / values[0].max(), atol=1e-5)


class Fixed(Ranking):
    def __init__(self, scores):
        self.scores = np.asarray(scores, dtype=np.float32)

    def __call__(self, start, end):
        return self.scores[start:end]


@pytest.mark.parametrize('k', [1, 2, 3, 7, 50])
def test_best_in_order_and_equal_ones_by_row(k):
    scores = np.random.default_rng(0).integers(0, 4, (30, 7)).astype(np.float32)
    expected = [sorted(range(7), key=lambda j: (-row[j], j))[:k] for row in scores]
    assert _best(scores, k).tolist() == expected


def test_sum_of_rankings(monkeypatch):
    rng = np.random.default_rng(0)
    a, b = rng.random((11, 9)), rng.random((11, 9))
    whole = rank_entities({'a': Fixed(a), 'b': Fixed(b)}, 11, 4)
    monkeypatch.setattr('drin_pyg.linking.retrieval.CHUNK', 3)
    chunked = rank_entities({'a': Fixed(a), 'b': Fixed(b)}, 11, 4)
    for name, scores in (('a', a), ('b', b), ('sum', a + b)):
        assert whole[name].tolist() == np.argsort(-scores, 1)[:, :4].tolist()
        assert chunked[name].tolist() == whole[name].tolist()
    assert list(rank_entities({'a': Fixed(a)}, 11, 4)) == ['a']


def test_mentions_get_candidates_and_keep_what_they_have():
    found, recall = retrieve(MENTIONS, ENTITIES, 2, ['name', 'bm25'])
    assert [mention.candidates for mention in found[:3]] == [('t', 'p'), ('l', found[1].candidates[1]), ('p', )]
    assert all(len(mention.candidates) == 2 for mention in (found[0], found[1], found[3]))
    assert replace(found[0], candidates=()) == MENTIONS[0]
    assert retrieve(MENTIONS, ENTITIES, 2, ['bm25'], replace_lists=True)[0][2].candidates[0] == 'h'
    # NIL is no answer to find. Both methods find the answers of the test mentions first; the name alone does not know
    # which Paris is meant.
    assert recall['name'] == {'train': {1: 0, 2: 1, 10: 1, 100: 1}, 'test': {1: 1, 2: 1, 10: 1, 100: 1}}
    assert recall['sum']['train'][1] == 1
    assert '0.00' in format_recall(recall)
    assert 'recall@10' in format_recall(recall)


def test_real_mentions_find_their_answers():
    emoji = EmojiMEL()
    mentions = emoji.mentions[::36]
    _, recall = retrieve(mentions, emoji.entities, 10, ('name', 'bm25'))
    for split in recall['sum']:
        assert recall['sum'][split][100] >= recall['sum'][split][10] >= recall['sum'][split][1]
    together = np.mean([recall['sum'][split][10] for split in recall['sum']])
    assert together > 10 / len(emoji.entities) * 20


def test_nonsense_is_named():
    with pytest.raises(ValueError, match="no retrieval method 'magic'; there are name, bm25, dense"):
        retrieve(MENTIONS, ENTITIES, 2, ['magic'])
    with pytest.raises(ValueError, match='nothing to retrieve from'):
        retrieve(MENTIONS, EntityList([]), 2)
    with pytest.raises(ValueError, match='nothing to retrieve from'):
        retrieve(MENTIONS, ENTITIES, 2, [])
