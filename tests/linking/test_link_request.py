import json
from pathlib import Path

import pytest

from drin_pyg.datasets import Mention, Picture, PictureError
from drin_pyg.linking.link_request import LinkRequest

SWAN = Path(__file__).resolve().parents[2] / 'examples' / 'swan.png'


def test_dict_line_and_mention_say_the_same():
    record = {'id': '7', 'sentence': 'In Paris, Paris.', 'mention': 'Paris', 'start': 10, 'end': 15,
              'images': [str(SWAN)], 'captions': ['a tower'], 'candidates': ['a', 'b']}
    expected = Mention('7', 'Paris', 'In Paris, Paris.', (Picture(SWAN), ), span=(10, 15), captions=('a tower', ))
    for form in (record, json.dumps(record), json.dumps(record).encode()):
        request = LinkRequest.read(form, 3)
        assert request.mention == expected
        assert request.candidates == ['a', 'b']
    mention = Mention('7', 'Paris', 'In Paris.', (), 'a', ('b', ), 'test')
    assert LinkRequest.read(mention) == LinkRequest(mention, ('b', ))


def test_what_is_left_out():
    request = LinkRequest.read({'sentence': 'In Paris', 'mention': 'paris', 'images': None, 'candidates': None}, 12)
    assert request == LinkRequest(Mention('12', 'paris', 'In Paris', span=(3, 8)), None)
    assert LinkRequest.read({'sentence': 'x', 'mention': 'x', 'candidates': []}).candidates == []
    assert LinkRequest.read(Mention('1', 'x', 'x')).candidates is None


@pytest.mark.parametrize('images', [SWAN, str(SWAN), [SWAN], (str(SWAN), )])
def test_one_image_or_several(images):
    assert LinkRequest.read({'sentence': 'x', 'mention': 'x', 'images': images}).mention.pictures == (Picture(SWAN), )


def test_images_are_relative_to_the_folder():
    record = {'sentence': 'x', 'mention': 'x', 'images': ['swan.png']}
    assert LinkRequest.read(record, folder=SWAN.parent).mention.pictures == (Picture(SWAN), )
    with pytest.raises(PictureError, match=r"swan.png' is missing"):
        LinkRequest.read(record)


@pytest.mark.parametrize(('record', 'message'), [
    ({'mention': 'x'}, "'sentence' is missing"),
    ({'sentence': 'x'}, "'mention' is missing"),
    ({'sentence': 'x', 'mention': ' '}, 'mention is empty'),
    ({'sentence': 1, 'mention': 'x'}, "'sentence' must be a string"),
    ({'sentence': 'x', 'mention': 'x', 'image': 'y'}, "no field 'image'; there are id, sentence"),
    ({'sentence': 'x', 'mention': 'x', 'images': 3}, "'images' must be a path"),
    ({'sentence': 'x', 'mention': 'x', 'images': [3]}, "'images' must be a path"),
    ({'sentence': 'x', 'mention': 'x', 'candidates': 'Q1'}, "'candidates' must be a list"),
    ({'sentence': 'x', 'mention': 'x', 'id': 3}, "'id' must be a string"),
    (['x'], 'a record must be an object'),
    ('{"sentence"', 'Expecting'),
    (b'\xff', "can't decode"),
    (Mention('1', '', 'x'), 'mention is empty'),
])
def test_nonsense_is_named(record, message):
    with pytest.raises(ValueError, match=message):
        LinkRequest.read(record)
