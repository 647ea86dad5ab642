import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from drin_pyg.datasets import Entity, Mention, WikiMELText
from drin_pyg.datasets.records import plain
from tests.datasets.layouts import write_lines, write_wikimel_text

REAL = Path(__file__).parents[2].parent / 'shared' / 'data' / 'wikimel_text'
FILES = ('entities.jsonl.gz', 'train.jsonl.gz', 'dev.jsonl.gz')


@pytest.fixture
def folder(tmp_path):
    write_wikimel_text(tmp_path)
    return tmp_path


def test_entities(folder):
    entities = WikiMELText(folder).entities
    assert (len(entities), entities[0]) == (6, Entity('Q0', 'Name 0', 'Name: 0.'))


def test_mentions_of_the_test_set(folder):
    assert list(WikiMELText(folder, 'test')) == [
        Mention('34', 'Name 5', 'Name 5 at night', answer='Q5', candidates=('Q0', 'Q5'), split='test', span=(0, 6),
                captions=('a man. person, tie. STOP', )),
        Mention('35', 'Name 1', 'Name 1', answer='Q1', candidates=('Q0', 'Q2'), split='test', span=(0, 6))]


def test_mentions_to_train_on_are_divided_by_answer(folder):
    train, val = (WikiMELText(folder, split, hold_out=0.4) for split in ('train', 'val'))
    assert (len(train), len(val)) == (6, 4)
    assert {m.answer for m in train}.isdisjoint({m.answer for m in val})
    assert sorted(int(m.id[0]) for m in (*train, *val)) == list(range(10))
    assert train[0].span == (0, 6)
    assert train[0].candidates == train[0].captions == ()


def test_draw(folder):
    draws = {seed: [m.id for m in WikiMELText(folder, 'val', hold_out=0.4, seed=seed)] for seed in range(5)}
    assert draws[0] == [m.id for m in WikiMELText(folder, 'val', hold_out=0.4)]
    assert len({tuple(ids) for ids in draws.values()}) > 1
    with pytest.raises(ValueError, match="no mentions of the split 'val'"):
        len(WikiMELText(folder, 'val', hold_out=0))
    with pytest.raises(ValueError, match='Fractions of a split'):
        _ = WikiMELText(folder, hold_out=-0.1).mentions


def test_findings(folder):
    assert WikiMELText(folder).findings.counts == {'no_candidates': 10}


@pytest.mark.parametrize('missing', FILES)
def test_missing_file_is_named(folder, missing):
    (folder / missing).unlink()
    assert not WikiMELText.recognises(folder)
    with pytest.raises(FileNotFoundError, match=f"{missing}' is missing; WikiMELText needs it"):
        WikiMELText(folder)


@pytest.mark.parametrize('name', FILES)
@pytest.mark.parametrize(('damage', 'message'), [
    (lambda content: b'', 'is empty'),
    (lambda content: content[:len(content) // 2], 'is damaged beyond line'),
    (lambda content: content[:-4], 'is damaged beyond line'),  # without its checksum
    (lambda content: content[:20] + bytes(9) + content[29:], 'is damaged beyond line'),
    (lambda content: gzip.decompress(content), 'is damaged beyond line 0: Not a gzipped file'),
    (lambda content: gzip.compress(b'\n' + gzip.decompress(content)[:-9]), r', line \d+: '),
    (lambda content: gzip.compress(b'\n[1]\n'), r', line 2: a line must be an object, got \[1\]'),
    (lambda content: gzip.compress(b'{}'), ", line 1: '(qid|id|mention)' is missing"),
    (lambda content: gzip.compress(b'{"qid": "Z\xfc"}'), ", line 1: 'utf-8' codec can't decode"),
])
def test_damaged_file_is_named(folder, name, damage, message):
    path = folder / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=f"^'.*{name}' ?{message}"):
        _ = WikiMELText(folder).findings


def test_no_lines(folder):
    write_lines(folder / 'train.jsonl.gz')
    assert [mention.split for mention in WikiMELText(folder)] == ['test', 'test']


@pytest.mark.parametrize(('fields', 'message'), [
    ({'answer': None}, "'answer' is missing"),
    ({'id': 35}, "'id' must be a string, got 35"),
    ({'candidates': ['Q1', 7]}, "each of 'candidates' must be a string, got 7"),
    ({'image_tags': 'tie'}, "'image_tags' must be a list, got 'tie'"),
    ({'image_caption': ['tie']}, "'image_caption' must be a string"),
])
def test_bad_mention_is_named(folder, fields, message):
    record = {'id': '35', 'sentence': 'Name 1', 'mention': 'Name 1', 'answer': 'Q1'}
    write_lines(folder / 'dev.jsonl.gz', record | {'image_tags': None, 'candidates': None}, record | fields)
    with pytest.raises(ValueError, match=f"dev.jsonl.gz', line 2: {message}"):
        _ = WikiMELText(folder).mentions


@pytest.mark.skipif(not REAL.is_dir(), reason=f'the published files are not in {REAL}')
def test_published_files():
    dataset = WikiMELText(REAL)
    assert len(dataset.entities) == 15_066
    sizes = Counter(mention.split for mention in dataset.mentions)
    assert sizes['train'] + sizes['val'] == 15_319
    assert sizes['test'] == 2_624
    answers = {split: {mention.answer for mention in dataset.mentions if mention.split == split} for split in sizes}
    assert answers['train'].isdisjoint(answers['val'])
    sentences = {split: {plain(mention.sentence) for mention in dataset.mentions if mention.split == split}
                 for split in ('train', 'val')}
    assert sentences['train'].isdisjoint(sentences['val'])
    assert sizes['val'] == round(0.1 * 15_319)
    test = [mention for mention in dataset.mentions if mention.split == 'test']
    assert {len(mention.candidates) for mention in test} == {10}
    assert sum(mention.answer in mention.candidates for mention in test) == 2_494
    assert not any(mention.candidates or mention.captions for mention in dataset.mentions if mention.split != 'test')
    json.dumps(dataset.findings.to_dict())
