import json
from dataclasses import replace

import pytest

from drin_pyg.datasets import MELFolder, Mention, Picture, WikiMELText, write_mel_folder
from drin_pyg.evaluation.audit import audit, fingerprint_dataset
from drin_pyg.evaluation.audit_keys import KINDS, keys_of
from drin_pyg.evaluation.audit_pictures import Fingerprints
from tests.datasets.layouts import write_wikimel_text
from tests.evaluation.audited_folder import OVERLAPS, write_audited, write_text_only

LEVELS = {
    'sentence': 'leak', 'words': 'note', 'image': 'leak', 'near_image': 'note', 'sentence_and_image': 'leak',
    'answer': 'note', 'surface_and_answer': 'note', 'image of the answer': 'leak', 'near_image of the answer': 'note',
    'name': 'note', 'unknown_answer': 'note', 'no_candidates': 'note', 'answer_outside': 'note', 'answer first': 'ok',
    'answer last': 'ok'}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp('audited')
    write_audited(path)
    return path


@pytest.fixture(scope='module')
def found(folder):
    return audit(MELFolder(folder))


def counts(found):
    return {pair: {kind: overlap.count for kind, overlap in kinds.items()} for pair, kinds in found.overlaps.items()}


def rows(found):
    """The cells of the tables by the label of the row."""
    return {line[:40].strip(): line[40:].split() for line in found.format().splitlines() if len(line) > 40}


def test_overlaps(found):
    assert counts(found) == OVERLAPS
    overlaps = found.overlaps['test', 'train']
    assert overlaps['near_image'].examples == [('s1', 't1'), ('s5', 't2')]
    assert overlaps['sentence'].examples == [('s5', 't1')]
    assert overlaps['sentence_and_image'].examples == []
    assert found.overlaps['val', 'train']['sentence_and_image'].examples == [('v1', 't2')]


def test_answers(found):
    assert list(found.answers) == ['train', 'val', 'test']
    nothing = dict.fromkeys(found.answers['train'].to_dict(), 0)
    assert found.answers['train'].to_dict() == {**nothing, **{
        'mentions': 4, 'answered': 3, 'no_candidates': 1, 'listed': 3, 'surface_is_name': 3, 'name_decides': 2,
        'pictured': 3, 'choices': 3, 'first': 3, 'expected': pytest.approx(4 / 3),
        'variance': pytest.approx(2 / 9 + 1 / 4 + 1 / 4)}}
    assert found.answers['val'].to_dict() == {**nothing, **{
        'mentions': 2, 'answered': 2, 'no_candidates': 1, 'listed': 1, 'surface_is_name': 2, 'name_decides': 1,
        'pictured': 2, 'choices': 1, 'last': 1, 'expected': 0.5, 'variance': 0.25}}
    assert found.answers['test'].to_dict() == {**nothing, **{
        'mentions': 5, 'answered': 5, 'unknown_answer': 1, 'listed': 5, 'answer_outside': 1, 'surface_is_name': 4,
        'name_decides': 2, 'name_misleads': 1, 'pictured': 4, 'answer_image': 1, 'wrong_image': 1,
        'answer_near_image': 1, 'wrong_near_image': 1, 'choices': 4, 'first': 1, 'last': 3, 'expected': 2,
        'variance': 1}}


def test_pictures_of_entities_that_nobody_asks_for_are_not_opened(found):
    # Of mentions 9 files (one twice, one missing), of entities 4 (one missing).
    assert found.pictures == {'distinct': 13, 'opened': 13, 'unusable': 2}


def test_verdicts(found):
    assert {verdict.about: verdict.level for verdict in found.verdicts} == LEVELS
    assert [verdict.about for verdict in found.leaks] == ['sentence', 'image', 'sentence_and_image',
                                                          'image of the answer']
    text = {verdict.about: verdict.text for verdict in found.verdicts}
    assert '1 (20.0%) of test against train, 1 (50.0%) of val against train; such as s5 and t1' in text['sentence']
    assert "one of its answer's: test 1 (25.0%). It is one of a wrong candidate's: test 1 (25.0%)." in \
        text['image of the answer']
    assert 'a wrong one is: test 1 (20.0%)' in text['name']
    assert text['answer first'].startswith('The answer is the first candidate: train 3 (100.0%), by chance 44.4%; ')


def test_format(found):
    table = rows(found)
    assert table['picture, looks alike'] == ['2', '40.00%', '1', '50.00%', '1', '20.00%']
    assert table['answer outside the candidates'] == ['0', '0.00%', '0', '0.00%', '1', '20.00%']
    assert table["picture is one of the answer's"] == ['0', '0.00%', '0', '0.00%', '1', '25.00%']
    assert table['... by chance'] == ['1', '44.44%', '0', '50.00%', '2', '50.00%']
    assert max(map(len, found.format().splitlines())) <= 120


def test_to_dict(found):
    plainly = found.to_dict()
    assert json.loads(json.dumps(plainly))['overlaps'][0]['near_image'] == {
        'count': 2, 'examples': [['s1', 't1'], ['s5', 't2']]}
    assert [(overlap['split'], overlap['other']) for overlap in plainly['overlaps']] == list(OVERLAPS)
    assert plainly['verdicts'][0]['level'] == 'leak'
    assert plainly['answers']['test']['name_misleads'] == 1


def test_pictures_need_not_be_opened(folder, monkeypatch):
    monkeypatch.setattr(Picture, 'open', None)
    found = audit(MELFolder(folder), open_pictures=False)
    kinds = set(KINDS) - {'image', 'near_image', 'sentence_and_image'}
    assert set(found.overlaps['test', 'train']) == kinds
    assert rows(found)['picture, same pixels'] == ['not', 'opened'] * 3
    assert {v.about for v in found.verdicts} == {k for k in LEVELS if 'image' not in k}


def test_pixels_alone(folder):
    found = audit(MELFolder(folder), distance=None)
    assert counts(found) == {pair: {k: n for k, n in kinds.items() if k != 'near_image'}
                             for pair, kinds in OVERLAPS.items()}
    assert rows(found)['picture, looks alike'] == ['not', 'compared'] * 3
    assert rows(found)["picture looks like one of the answer's"] == ['not', 'compared'] * 3
    assert found.answers['test'].answer_image == 1
    assert {v.about for v in found.verdicts} == set(LEVELS) - {'near_image', 'near_image of the answer'}


def test_no_picture_is_usable(folder, tmp_path):
    write_audited(tmp_path / 'own')
    for path in (tmp_path / 'own' / 'images').iterdir():
        path.write_bytes(b'?')
    found = audit(MELFolder(tmp_path / 'own'))
    assert found.pictures == {'distinct': 13, 'opened': 13, 'unusable': 13}
    assert rows(found)['picture, same pixels'] == ['unusable'] * 3
    assert 'image' not in found.overlaps['test', 'train']


def test_text_only(tmp_path):
    write_text_only(tmp_path)
    found = audit(MELFolder(tmp_path))
    kinds = [kind for kind in KINDS if 'image' not in kind]
    assert counts(found) == {pair: {kind: expected[kind] for kind in kinds} for pair, expected in OVERLAPS.items()}
    for label in ('picture, same pixels', 'picture, looks alike', "picture is one of the answer's"):
        assert rows(found)[label] == ['no', 'pictures'] * 3
    assert {v.about for v in found.verdicts} == {k for k in LEVELS if 'image' not in k}


def test_no_splits(tmp_path):
    write_text_only(tmp_path, with_split=False)
    found = audit(MELFolder(tmp_path))
    assert found.overlaps == {}
    assert list(found.answers) == ['']
    assert found.answers[''].mentions == 11
    assert [v.level for v in found.verdicts if v.about == 'splits'] == ['note']
    assert 'There are no two splits to compare' in found.format().replace('\n      ', ' ')
    assert 'no split' in found.format()


def test_one_split_of_several(folder):
    found = audit(MELFolder(folder, split='test'))
    assert (found.overlaps, list(found.answers)) == ({}, ['test'])


def test_another_layout_without_candidates_in_some_splits(tmp_path):
    write_wikimel_text(tmp_path)
    found = audit(WikiMELText(tmp_path, hold_out=0.2))
    # Each answer of the ten training mentions has two, with one sentence; test shares 'Name 1' as words and answer.
    assert counts(found)['val', 'train'] == {'sentence': 0, 'words': 0, 'answer': 0, 'surface_and_answer': 0}
    assert found.answers['train'].no_candidates == found.answers['train'].mentions == 8
    assert rows(found)['answer is the first candidate'] == ['-', '-', '0', '0.00%']


def test_empty(tmp_path):
    for name in ('entities.jsonl', 'mentions.jsonl'):
        (tmp_path / name).touch()
    found = audit(MELFolder(tmp_path))
    assert (found.num_mentions, found.overlaps, found.leaks) == ({}, {}, [])
    assert 'mentions           0' in found.format()


def in_order(tmp_path, places, of):
    """Mentions whose answers come at the given places of lists of ``of``."""
    write_text_only(tmp_path / 'raw')
    entities = list(MELFolder(tmp_path / 'raw').entities)
    ids = [entity.id for entity in entities][:of]
    mentions = [Mention(id=str(i), surface='x', sentence=f'{i}', answer=ids[place], candidates=tuple(ids), split='test')
                for i, place in enumerate(places)]
    write_mel_folder(entities, mentions, tmp_path / 'own')
    return {v.about: v.level for v in audit(MELFolder(tmp_path / 'own')).verdicts}


@pytest.mark.parametrize(('places', 'first', 'last'), [
    ([0] * 20, 'leak', 'ok'),
    ([3] * 20, 'ok', 'leak'),
    ([0] * 5, 'ok', 'ok'),            # once in a thousand times by chance
    ([0] * 15 + [1] * 5, 'note', 'ok'),
    ([0, 1, 2, 3] * 5, 'ok', 'ok'),
    ([1, 2] * 20, 'ok', 'ok'),        # never first, which gives nothing away that could be used alone
])
def test_order_of_candidates(tmp_path, places, first, last):
    levels = in_order(tmp_path, places, 4)
    assert (levels['answer first'], levels['answer last']) == (first, last)


def test_lists_of_one_are_no_choice(tmp_path):
    assert 'answer first' not in in_order(tmp_path, [0] * 30, 1)


def test_fingerprints_serve_twice(folder, found, monkeypatch):
    dataset = MELFolder(folder)
    prints = fingerprint_dataset(dataset)
    monkeypatch.setattr(Picture, 'open', None)
    assert audit(dataset, prints=prints) == found




def test_nothing_is_no_key():
    mention = Mention('m', '', '  ', split='test')
    assert [list(keys_of(mention, kind, Fingerprints())) for kind in KINDS] == [[]] * len(KINDS)
    assert list(keys_of(replace(mention, sentence='...'), 'words', Fingerprints())) == []
    with pytest.raises(ValueError, match="Unknown kind 'colour'; known are sentence"):
        keys_of(mention, 'colour', Fingerprints())
