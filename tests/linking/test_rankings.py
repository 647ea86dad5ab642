import sys

import bm25s
import numpy as np
import pytest
import torch
from rapidfuzz import fuzz

from drin_pyg.baselines import relation_scores
from drin_pyg.datasets import Entity, Mention
from drin_pyg.features import Candidates, TextEncoder, side_tables
from drin_pyg.features.encode_rows import IN_MEMORY
from drin_pyg.features.pair_features import normalize
from drin_pyg.linking import rankings
from drin_pyg.linking.rankings import make_ranking
from tests.linking.small_base import ENTITIES, MENTIONS


def scores(method, mentions, entities=ENTITIES):
    ranking = make_ranking(method, entities)
    return ranking(ranking.queries(mentions, None, IN_MEMORY))


def test_name():
    expected = [[fuzz.token_set_ratio(normalize(m.surface), normalize(e.name)) / 100 for e in ENTITIES]
                for m in MENTIONS]
    np.testing.assert_allclose(scores('name', MENTIONS), expected, atol=1e-6)


def test_dense():
    encode = TextEncoder.minilm()
    expected = encode([m.sentence for m in MENTIONS[:2]])['mean'] \
        @ encode([f'{e.name}. {e.description}' for e in ENTITIES])['mean'].t()
    np.testing.assert_allclose(scores('dense', MENTIONS[:2]), expected.numpy(), atol=1e-5)


def test_bm25():
    found = scores('bm25', MENTIONS)
    assert found.max(1).tolist() == pytest.approx([1, 1, 1, 0])  # nothing known is said of the last
    assert found.argmax(1)[:3].tolist() == [1, 3, 2]
    documents = [normalize(f'{e.name} {e.description}') for e in ENTITIES]
    index = bm25s.BM25()
    index.index(bm25s.tokenize(documents, show_progress=False), show_progress=False)
    order, values = index.retrieve(bm25s.tokenize(['paris the town of paris texas'], show_progress=False), k=4,
                                   show_progress=False)
    np.testing.assert_allclose(found[0, order[0]], values[0] / values[0].max(), atol=1e-5)


def test_bm25_where_there_is_no_word():
    assert scores('bm25', MENTIONS, [Entity('a', '!'), Entity('b', '?')]).tolist() == [[0, 0]] * 4


@pytest.mark.parametrize('rows', [3, 65536])
def test_features_are_the_mean_of_the_first_weights(world, monkeypatch, rows):
    """Ragged images on both sides; the entities in several pieces, and in one."""
    monkeypatch.setattr(rankings, 'ROWS', rows)
    mention, entity = side_tables(world.tables)
    ranking = make_ranking('features', [None] * 8, side=entity)
    found = ranking(ranking.queries([None] * 6, mention, IN_MEMORY))
    everything = Candidates.from_lists([range(8)] * 6)
    expected = relation_scores(world.tables, everything, torch.arange(6)).nan_to_num(0.0).mean(1).view(6, 8)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_features_need_features(world):
    with pytest.raises(ValueError, match='given none'):
        make_ranking('features', [None] * 8, side=side_tables(world.tables)[1]).queries([Mention('1', 'x', 'x')], None,
                                                                                       IN_MEMORY)


@pytest.mark.parametrize(('method', 'library'), [('name', 'rapidfuzz'), ('bm25', 'bm25s')])
def test_a_missing_library_names_the_extra(method, library, monkeypatch):
    for name in [name for name in sys.modules if name.split('.')[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=rf"'{library}'; install drin_pyg\[retrieval\]"):
        make_ranking(method, ENTITIES)


def test_nonsense_is_named(world):
    with pytest.raises(ValueError, match=r"no retrieval method 'magic'; there are name, bm25, dense$"):
        make_ranking('magic', ENTITIES)
    with pytest.raises(ValueError, match="no retrieval method 'features'"):
        make_ranking('features', ENTITIES)
    with pytest.raises(ValueError, match=r'name, bm25, dense, features$'):
        make_ranking('magic', ENTITIES, side=side_tables(world.tables)[1])
