import pytest
import torch

from drin_pyg.datasets import PictureError
from drin_pyg.graph import forward_args, pair_graph
from drin_pyg.linking import Linker, format_links
from drin_pyg.vocabulary import RELATIONS


@pytest.fixture(scope='module')
def linker(run_folder):
    return Linker.from_pretrained(run_folder)


def swan(emoji_data):
    return next(m for m in emoji_data.mentions if m.surface == 'bird' and _name(emoji_data, m.answer) == 'swan')


def _name(emoji_data, answer):
    return next(entity.name for entity in emoji_data.entities if entity.id == answer)


@pytest.fixture(scope='module')
def picture(emoji_data, tmp_path_factory):
    path = tmp_path_factory.mktemp('picture') / 'swan.png'
    swan(emoji_data).pictures[0].open().save(path)
    return path


def test_a_mention_of_ones_own_is_linked(linker, picture):
    links = linker.link('A white bird with a long neck swam on the lake.', 'bird', [picture])
    assert links[0].entity.name == 'swan'
    assert [link.score for link in links] == sorted((link.score for link in links), reverse=True)
    assert sum(link.probability for link in links) <= 1 + 1e-6


def test_scores_are_those_of_the_model(linker, emoji_data, picture):
    mention = swan(emoji_data)
    row = {entity.id: i for i, entity in enumerate(emoji_data.entities)}
    tables = emoji_data.tables_of([mention])
    links = {link.entity.id: link for link in linker.link(
        mention.sentence, mention.surface, [picture], mention.candidates, k=32)}
    for entity in mention.candidates[:5]:
        graph = pair_graph(tables, 0, row[entity])
        with torch.no_grad():
            score = linker.model(**forward_args(graph))
        assert links[entity].score == pytest.approx(float(score), abs=1e-4)


def test_without_an_image_the_image_relations_say_nothing(linker):
    links = linker.link('a large reptile', 'animal', k=3)
    for link in links:
        assert link.weights['image_text'] == [None, None]
        assert link.weights['image_image'] == [None, None]
        assert None not in link.weights['text_text']


def test_several_images_are_allowed(linker, picture):
    assert len(linker.link('a large reptile', 'animal', [picture, picture])) == 5


def test_named_candidates_only(linker, emoji_data):
    ids = [entity.id for entity in emoji_data.entities[:3]]
    links = linker.link('happy', 'face', candidates=ids)
    assert {link.entity.id for link in links} == set(ids)


@pytest.mark.parametrize(('arguments', 'message'), [
    ({'sentence': ' ', 'mention': 'x'}, 'sentence is empty'),
    ({'sentence': 'x', 'mention': ''}, 'mention is empty'),
    ({'sentence': 'x', 'mention': 'x', 'candidates': ['nothing']}, "no entity 'nothing'"),
])
def test_nonsense_is_named(linker, arguments, message):
    with pytest.raises(ValueError, match=message):
        linker.link(**arguments)


def test_a_missing_and_a_damaged_image_are_named(linker, tmp_path):
    with pytest.raises(PictureError, match=r"none.png' is missing"):
        linker.link('x', 'x', [tmp_path / 'none.png'])
    (tmp_path / 'text.jpg').write_text('no picture')
    with pytest.raises(PictureError, match=r"text.jpg' is not an image"):
        linker.link('x', 'x', [tmp_path / 'text.jpg'])


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='no training run'):
        Linker.from_pretrained(tmp_path)


def test_the_table_shows_each_relation(linker, picture):
    links = linker.link('jaws', 'animal', [picture], k=2)
    text = format_links(links)
    assert len(text.splitlines()) == 4  # head, two candidates, legend
    assert all(name in text for name in RELATIONS)
    assert format_links([]) == 'No candidates.'
