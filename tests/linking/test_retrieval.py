from dataclasses import replace

import numpy as np
import pytest

from drin_pyg.datasets import EmojiMEL, EntityList
from drin_pyg.linking import format_recall, retrieve
from tests.linking.small_base import ENTITIES, MENTIONS


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
