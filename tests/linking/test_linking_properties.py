"""Scoring from an index against the model's forward pass, retrieval against a sort, and requests of any JSON."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from drin_pyg.datasets import Entity, EntityList, Mention
from drin_pyg.features.side_tables import side_tables
from drin_pyg.graph import candidate_batch, forward_args
from drin_pyg.linking import CandidateScorer, EntityIndex, Retriever
from drin_pyg.linking.link_request import LinkRequest
from drin_pyg.linking.retriever import best
from drin_pyg.vocabulary import EDGE_TYPES
from tests.nn.test_nn_properties import MODERATE, make_model
from tests.strategies import json_values, worlds

options = st.fixed_dictionaries({
    'num_layers': st.integers(0, 3), 'dynamic': st.booleans(), 'shared': st.booleans(), 'residual': st.booleans(),
    'read_relations': st.booleans(), 'edge_types': st.sampled_from([EDGE_TYPES, EDGE_TYPES[:1], EDGE_TYPES[1:]])})
text = st.text(max_size=12)


@given(worlds(MODERATE, dtype=torch.float64), options, st.sampled_from(['pair', 'mention']), st.integers(1, 9),
       st.integers(1, 7))
def test_the_index_scores_as_the_model_does(world, options, context, chunk_size, k):
    model = make_model(world.tables, **options).double()
    mentions, entities = side_tables(world.tables)
    scorer = CandidateScorer(model, EntityIndex.build(model, entities, dtype=torch.float64), context=context,
                             chunk_size=chunk_size)
    with torch.no_grad():
        expected = model(**forward_args(candidate_batch(world.tables, world.candidates, context=context)))
    scores = scorer(mentions, world.candidates)
    torch.testing.assert_close(scores, expected, rtol=1e-9, atol=1e-9)
    top = scorer(mentions, world.candidates, k)
    for m, (start, stop) in enumerate(zip(world.candidates.ptr.tolist(), world.candidates.ptr[1:].tolist(),
                                          strict=False)):
        own, count = scores[start:stop].sort(descending=True).values, min(k, stop - start)
        torch.testing.assert_close(top.score[m, :count], own[:count], rtol=1e-9, atol=1e-9)
        assert top.entity[m, count:].tolist() == [-1] * (k - count)
        place = start + top.position[m, :count]
        assert world.candidates.entity[place].equal(top.entity[m, :count])
        assert len(set(place.tolist())) == count


@given(st.integers(0, 5), st.integers(1, 12), st.integers(1, 15), st.integers(0, 99), st.booleans())
def test_the_best_are_those_of_a_sort(rows, columns, k, seed, many_ties):
    scores = np.random.default_rng(seed).integers(0, 3 if many_ties else 1000, (rows, columns)).astype(np.float32)
    assert best(scores, k).tolist() == [sorted(range(columns), key=lambda c: (-row[c], c))[:k] for row in scores]


@given(st.lists(st.tuples(text, text), min_size=1, max_size=6), st.lists(st.tuples(text, text), max_size=4),
       st.integers(1, 8), st.sampled_from([['name'], ['bm25'], ['name', 'bm25']]))
def test_anything_that_is_a_text_can_be_retrieved(entities, mentions, k, methods):
    base = EntityList([Entity(str(i), name, description) for i, (name, description) in enumerate(entities)])
    found = Retriever(base, methods)([Mention(str(i), *words) for i, words in enumerate(mentions)], k)
    assert found.shape == (len(mentions), min(k, len(base)))
    for row in found:
        assert len(set(row.tolist())) == len(row)
        assert 0 <= row.min() <= row.max() < len(base)


@given(st.data())
def test_a_request_of_any_json_is_read_or_refused(data):
    record = {'sentence': 'From Paris to Lyon', 'mention': 'Paris', 'candidates': ['p'], 'id': 'a', 'start': 5,
              'end': 10}
    for name in data.draw(st.lists(st.sampled_from([*record, 'captions', 'answer', 'split', 'images', 'unknown']),
                                   max_size=3)):
        record[name] = data.draw(json_values)
    line = data.draw(st.sampled_from([record, json.dumps(record), json.dumps(record).encode(), json.dumps([record]),
                                      json.dumps(record)[:-1]]))
    try:
        request = LinkRequest.read(line)
    except ValueError as error:
        assert 0 < len(str(error)) < 500
        return
    mention = request.mention
    assert mention.sentence == record['sentence']
    assert mention.span is None or 0 <= mention.span[0] < mention.span[1] <= len(mention.sentence)
    assert request.candidates is None or all(isinstance(name, str) for name in request.candidates)


@given(st.binary(max_size=40) | st.text(max_size=40))
def test_a_line_that_is_no_record_is_refused(line):
    with pytest.raises((ValueError, RecursionError)):
        LinkRequest.read(line)
