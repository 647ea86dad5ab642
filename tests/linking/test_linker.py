import itertools
import json
import sys
from dataclasses import replace

import pytest
import torch

from drin_pyg.datasets import Mention, Picture, PictureError
from drin_pyg.features import SideTables, encode_rows, side_tables
from drin_pyg.graph import forward_args, pair_graph
from drin_pyg.linking import EntityIndex, Link, Linker, LinkError, Retriever, format_link
from drin_pyg.nn import DRIN
from drin_pyg.vocabulary import RELATIONS


@pytest.fixture(scope='module')
def published(emoji_data):
    """The published model, untrained, in mention context: its scores are cosines that depend on the whole list."""
    torch.manual_seed(0)
    model = DRIN.published(hidden_channels=16)
    model(**forward_args(pair_graph(emoji_data.tables, 0, 0)))
    return Linker(model, emoji_data, 'mention')


def swan(emoji_data):
    return next(m for m in emoji_data.mentions if m.surface == 'bird' and _name(emoji_data, m.answer) == 'swan')


def _name(emoji_data, answer):
    return next(entity.name for entity in emoji_data.entities if entity.id == answer)


@pytest.fixture(scope='module')
def picture(emoji_data, tmp_path_factory):
    path = tmp_path_factory.mktemp('picture') / 'swan.png'
    swan(emoji_data).pictures[0].open().save(path)
    return path


@pytest.fixture(scope='module')
def records(emoji_data, picture):
    """Every form of a record: with and without picture and candidates, several pictures, a Mention, a line."""
    ids = [entity.id for entity in emoji_data.entities]
    return [
        {'sentence': 'A white bird with a long neck swam on the lake.', 'mention': 'bird', 'images': str(picture)},
        {'sentence': 'happy', 'mention': 'face', 'candidates': ids[:3]},
        swan(emoji_data),
        json.dumps({'id': 'own', 'sentence': 'jaws', 'mention': 'animal', 'images': [str(picture)] * 2}),
        replace(swan(emoji_data), candidates=(), pictures=()),
        {'sentence': 'x', 'mention': 'x', 'candidates': []},
        {'sentence': 'one', 'mention': 'one', 'candidates': ids[7:8]},
    ]


def same(link, other):
    assert link.mention == other.mention
    assert [c.entity.id for c in link.candidates] == [c.entity.id for c in other.candidates]
    assert (link.nil, link.confidence is None) == (other.nil, other.confidence is None)
    assert link.confidence == pytest.approx(other.confidence, abs=1e-4)
    for left, right in zip(link.candidates, other.candidates, strict=True):
        assert left.score == pytest.approx(right.score, abs=1e-4)
        assert left.probability == pytest.approx(right.probability, abs=1e-4)
        for name in RELATIONS:
            assert left.weights[name] == pytest.approx(right.weights[name], abs=1e-4)


def test_a_mention_of_ones_own_is_linked(linker, picture):
    link = linker.link('A white bird with a long neck swam on the lake.', 'bird', picture)
    assert link.candidates[0].entity.name == 'swan'
    scores = [candidate.score for candidate in link.candidates]
    assert scores == sorted(scores, reverse=True)
    assert sum(candidate.probability for candidate in link.candidates) <= 1 + 1e-6


def test_scores_and_weights_are_those_of_the_model(linker, emoji_data, picture):
    mention = swan(emoji_data)
    row = {entity.id: i for i, entity in enumerate(emoji_data.entities)}
    tables = emoji_data.tables_of([mention])
    found = {candidate.entity.id: candidate for candidate in linker.link(
        mention.sentence, mention.surface, [picture], mention.candidates, k=32).candidates}
    for entity in mention.candidates[:5]:
        graph = pair_graph(tables, 0, row[entity])
        with torch.no_grad():
            score, trace = linker.model.trace(**forward_args(graph))
        assert found[entity].score == pytest.approx(float(score), abs=1e-4)
        for name, edge_type in RELATIONS.items():
            assert found[entity].weights[name] == pytest.approx([float(depth[edge_type]) for depth in trace], abs=1e-4)


def test_without_an_image_the_image_relations_say_nothing(linker):
    for candidate in linker.link('a large reptile', 'animal', k=3).candidates:
        assert candidate.weights['image_text'] == [None, None]
        assert candidate.weights['image_image'] == [None, None]
        assert None not in candidate.weights['text_text']


def test_candidates_are_retrieved_for_the_mention_and_its_picture(linker, emoji_data, picture):
    link = linker.link('A white bird with a long neck swam on the lake.', 'bird', picture, k=99)
    mention = replace(link.mention, candidates=())
    retriever = Retriever(emoji_data.entities, ('bm25', 'features'), side=side_tables(emoji_data.tables)[1])
    rows = retriever([mention], 99, emoji_data.preset.mentions([mention]))[0]
    assert {c.entity.id for c in link.candidates} == {emoji_data.entities[row].id for row in rows}
    assert len(linker.link('a bird', 'bird', k=40).candidates) == 40
    fewer = {c.entity.id for c in linker.link('a bird', 'bird', k=32).candidates}
    assert len(fewer) == 32


def test_named_candidates_need_no_retrieval(run_folder, emoji_data, monkeypatch):
    monkeypatch.setattr('drin_pyg.linking.linker.Retriever', None)
    ids = [entity.id for entity in emoji_data.entities[:3]]
    link = Linker.from_pretrained(run_folder).link('happy', 'face', candidates=tuple(ids))
    assert {candidate.entity.id for candidate in link.candidates} == set(ids)


@pytest.mark.parametrize('which', ['linker', 'calibrated', 'published'])
@pytest.mark.parametrize('batch_size', [1, 3, 64])
def test_many_are_linked_like_one_by_one(which, batch_size, records, request):
    linker = request.getfixturevalue(which)
    found = list(linker.link_many(records, k=4, batch_size=batch_size))
    assert len(found) == len(records)
    for record, link in zip(records, found, strict=True):
        alone = next(linker.link_many([record], k=4))
        assert alone.mention == replace(link.mention, id=alone.mention.id)  # the number, where the record has none
        same(link, replace(alone, mention=link.mention))
    assert [link.mention.id for link in found] == ['1', '2', records[2].id, 'own', records[4].id, '6', '7']
    alone = linker.link(records[0]['sentence'], records[0]['mention'], records[0]['images'], k=4)
    same(found[0], alone)


def test_mention_context_compares_the_whole_list(published, emoji_data):
    """A score of the published model depends on the list: the best five are explained in it, not in a list of five."""
    mention = swan(emoji_data)
    whole = published.link_many([mention], k=32)
    best = next(published.link_many([mention], k=5))
    for left, right in zip(best.candidates, next(whole).candidates, strict=False):
        assert left.score == pytest.approx(right.score, abs=1e-5)
        assert left.weights['text_text'] == pytest.approx(right.weights['text_text'], abs=1e-5)


def test_a_stream_without_end_is_read_as_it_is_asked_for(linker):
    read = []

    def endless():
        for number in itertools.count():
            read.append(number)
            yield {'sentence': f'a bird number {number}', 'mention': 'bird'}

    links = linker.link_many(endless(), k=1, batch_size=4)
    assert read == []
    first = list(itertools.islice(links, 6))
    assert [link.mention.sentence for link in first] == [f'a bird number {i}' for i in range(6)]
    assert len(read) == 8


BAD = [({'sentence': 'x', 'mention': ' '}, 'mention is empty'), ('{', 'Expecting'),
       ({'sentence': 'x', 'mention': 'x', 'candidates': ['nothing']}, "no entity 'nothing'"),
       ({'sentence': 'x', 'mention': 'x', 'images': 'none.png'}, r"none.png' is missing"), (7, 'must be an object')]


@pytest.mark.parametrize(('record', 'message'), BAD)
def test_a_bad_record_is_named_after_the_results_before_it(linker, records, record, message):
    links = linker.link_many([records[1], records[6], record, records[1]])
    assert [next(links).mention.surface for _ in range(2)] == ['face', 'one']
    with pytest.raises(ValueError, match=rf'Record 3: .*{message}'):
        next(links)


def test_bad_records_can_be_yielded_in_their_place(linker, records):
    mixed = [records[1], BAD[0][0], BAD[1][0], records[6], BAD[2][0], BAD[3][0], BAD[4][0], records[1]]
    found = list(linker.link_many(mixed, batch_size=3, on_error='yield'))
    assert [type(item) for item in found] == [Link, LinkError, LinkError, Link, LinkError, LinkError, LinkError, Link]
    assert [item.number for item in found if isinstance(item, LinkError)] == [2, 3, 5, 6, 7]
    assert found[4].record == BAD[2][0]
    assert isinstance(found[5].error, PictureError)
    assert found[1].to_dict() == {'id': None, 'record': 2, 'error': 'The mention is empty; there is nothing to link'}
    assert LinkError(1, {'id': 'a'}, ValueError('x')).to_dict()['id'] == 'a'


def test_without_a_calibration_nil_is_open(linker, published):
    link = linker.link('happy', 'face')
    assert (link.nil, link.confidence) == (None, None)
    assert sum(c.probability for c in linker.link('happy', 'face', k=32).candidates) == pytest.approx(1)
    assert {c.probability for c in published.link('happy', 'face').candidates} == {None}
    assert 'drin-pyg calibrate' in format_link(link)


def test_with_a_calibration(calibrated, emoji_data, picture):
    mention = swan(emoji_data)
    link = calibrated.link(mention.sentence, mention.surface, picture, mention.candidates, k=32)
    scores = torch.tensor([candidate.score for candidate in link.candidates])
    expected = torch.softmax(scores / calibrated.calibration.temperature, 0)
    assert [candidate.probability for candidate in link.candidates] == pytest.approx(expected.tolist(), abs=1e-5)
    assert link.nil == (link.confidence < calibrated.calibration.threshold)
    others = [candidate.entity.id for candidate in link.candidates[8:]]
    without = calibrated.link(mention.sentence, mention.surface, picture, others)
    assert without.confidence < link.confidence
    assert without.nil
    assert f'NIL: yes (confidence {without.confidence:.0%})' in format_link(without)


def test_no_candidates_is_nil(calibrated):
    link = calibrated.link('x', 'x', candidates=[])
    assert (link.candidates, link.confidence, link.nil) == ([], 0, True)
    assert format_link(link) == 'No candidates.'


def test_mentions_are_not_kept_on_disk(linker, monkeypatch):
    """The packaged data's features are cached; a stream of mentions must not fill the disk."""
    monkeypatch.setattr(sys.modules[encode_rows.__module__], '_on_disk', lambda *_: pytest.fail('kept on disk'))
    assert linker.link('a sentence that nobody wrote before', 'sentence').candidates


def test_an_index_is_used_and_must_fit(linker, emoji_data, picture, tmp_path):
    entities = side_tables(emoji_data.tables)[1]
    index = EntityIndex.build(linker.model, entities, folder=tmp_path)
    other = Linker(linker.model, emoji_data, linker.context, linker.calibration, index=EntityIndex.load(tmp_path))
    arguments = ('A white bird with a long neck swam on the lake.', 'bird', picture)
    same(other.link(*arguments), linker.link(*arguments))
    assert other._scorer.index.folder == tmp_path
    with pytest.raises(ValueError, match='built with another model'):
        Linker(DRIN(index.manifest['config']['in_channels'], 8), emoji_data, index=index)
    small = SideTables(entities.text[:3], entities.image[:3], torch.arange(4),
                       {e: table[:3] for e, table in entities.weight.items()})
    with pytest.raises(ValueError, match='3 entities, the knowledge base 1799; build the index again'):
        Linker(linker.model, emoji_data, index=EntityIndex.build(linker.model, small))


def test_json(calibrated, records):
    link = next(calibrated.link_many([records[3]], k=2))
    record = json.loads(json.dumps(link.to_dict()))
    assert list(record) == ['id', 'mention', 'sentence', 'nil', 'confidence', 'candidates']
    assert (record['id'], record['mention'], len(record['candidates'])) == ('own', 'animal', 2)
    assert list(record['candidates'][0]) == ['id', 'name', 'description', 'score', 'probability', 'weights']


@pytest.mark.parametrize(('arguments', 'message'), [
    ({'sentence': ' ', 'mention': 'x'}, 'sentence is empty'),
    ({'sentence': 'x', 'mention': ''}, 'mention is empty'),
    ({'sentence': 'x', 'mention': 'x', 'candidates': ['nothing']}, "no entity 'nothing'"),
    ({'sentence': 'x', 'mention': 'x', 'k': 0}, "'k' must be at least 1"),
])
def test_nonsense_is_named(linker, arguments, message):
    with pytest.raises(ValueError, match=message):
        linker.link(**arguments)


def test_nonsense_of_many_is_named_at_once(linker):
    for arguments, message in (({'k': 0}, "'k'"), ({'batch_size': 0}, "'batch_size'"), ({'on_error': 'x'}, 'on_error')):
        with pytest.raises(ValueError, match=message):
            linker.link_many([], **arguments)
    assert list(linker.link_many([])) == []


def test_a_missing_and_a_damaged_image_are_named(linker, tmp_path):
    with pytest.raises(PictureError, match=r"none.png' is missing"):
        linker.link('x', 'x', [tmp_path / 'none.png'])
    (tmp_path / 'text.jpg').write_text('no picture')
    with pytest.raises(PictureError, match=r"text.jpg' is not an image"):
        linker.link('x', 'x', tmp_path / 'text.jpg')


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='no training run'):
        Linker.from_pretrained(tmp_path)


def test_data_without_encoders_is_named(linker, emoji_data):
    with pytest.raises(ValueError, match='features alone'):
        Linker(linker.model, replace(emoji_data, preset=None))


def test_the_table_shows_each_relation(calibrated, picture):
    text = format_link(calibrated.link('jaws', 'animal', [picture], k=2))
    assert len(text.splitlines()) == 5  # head, two candidates, legend, NIL
    assert all(name in text for name in RELATIONS)


def test_a_mention_keeps_its_picture(linker, emoji_data):
    mention = swan(emoji_data)
    link = next(linker.link_many([mention]))
    assert link.mention is mention
    assert isinstance(mention, Mention)
    assert isinstance(link.mention.pictures[0], Picture)
    assert link.candidates[0].entity.id in mention.candidates


def test_vector_edges_are_scored_by_the_forward_pass(emoji_data, picture):
    torch.manual_seed(0)
    model = DRIN(hidden_channels=16, vector_edges=True)
    model(**forward_args(pair_graph(emoji_data.tables, 0, 0)))
    linker = Linker(model, emoji_data)
    mention = swan(emoji_data)
    link = linker.link(mention.sentence, mention.surface, picture, mention.candidates, k=len(mention.candidates))
    rows = emoji_data.entities.rows(mention.candidates)
    tables = emoji_data.tables_of([mention])
    with torch.no_grad():
        expected = {mention.candidates[i]: float(model(**forward_args(pair_graph(tables, 0, int(row)))))
                    for i, row in enumerate(rows)}
    assert {c.entity.id: c.score for c in link.candidates} == pytest.approx(expected, abs=1e-4)
