import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from drin_pyg.datasets import (
    EmojiMEL,
    Entity,
    MELFolder,
    Mention,
    Picture,
    PictureError,
    RichpediaMEL,
    WikiDiverse,
    WikiMEL,
    WikiMELText,
    convert,
    write_mel_folder,
)
from tests.datasets.layouts import (
    draw,
    write_mimic,
    write_own,
    write_richpedia,
    write_wikidiverse,
    write_wikimel,
    write_wikimel_flat,
    write_wikimel_text,
)

PARIS, MENTION = Entity('Q1', 'Paris'), Mention('m0', 'Paris', 'In Paris.', span=(3, 8))


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / 'source'
    folder.mkdir()
    return folder


@pytest.fixture
def target(tmp_path):
    return tmp_path / 'target'


def looks(picture):
    """Pixels of a picture, or why there are none."""
    try:
        return np.asarray(picture.open()).tolist()
    except PictureError as error:
        return error.reason


def same(records, others):
    """Whether records are equal, and their pictures look the same wherever they lie."""
    records, others = list(records), list(others)
    assert [replace(record, pictures=()) for record in records] == [replace(other, pictures=()) for other in others]
    assert [[*map(looks, record.pictures)] for record in records] == [[*map(looks, o.pictures)] for o in others]
    return True


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]


@pytest.mark.parametrize('copy_images', [False, True])
def test_there_and_back(source, target, copy_images):
    write_own(source)
    dataset = MELFolder(source)
    convert(dataset, str(target), copy_images)
    again = MELFolder(target)
    assert same(dataset.entities, again.entities)
    assert same(dataset, again)
    # What the first reader left out is gone; what it could not know still is unknown.
    assert again.findings.counts == dict.fromkeys(
        ('duplicate_mention', 'unknown_answer', 'not_in_sentence', 'no_candidates', 'nil', 'unanswered'), 1)


def test_lines_that_are_written(source, target):
    write_own(source)
    convert(MELFolder(source), target)
    assert sorted(path.name for path in target.iterdir()) == ['entities.jsonl', 'mentions.jsonl']
    assert lines(target / 'entities.jsonl')[:2] == [
        {'id': 'Q1', 'name': 'Paris', 'description': 'Capital of France',
         'images': ['../source/images/a.png', '../source/images/b.png']},
        {'id': 'Q2', 'name': 'Paris, Texas', 'description': ''}]
    assert lines(target / 'mentions.jsonl')[::3] == [
        {'id': 'm0', 'sentence': 'Paris in Texas', 'mention': 'Paris', 'start': 0, 'end': 5,
         'images': ['../source/images/a.png'], 'captions': ['a tower', 'of steel'], 'answer': 'Q2',
         'candidates': ['Q1', 'Q2'], 'split': 'train'},
        {'id': 'm3', 'sentence': 'Nobody', 'mention': 'Lake', 'answer': 'Q9', 'split': 'test'}]
    assert lines(target / 'mentions.jsonl')[1]['answer'] is None
    assert 'answer' not in lines(target / 'mentions.jsonl')[4]
    assert 'Zürich' in (target / 'entities.jsonl').read_text(encoding='utf-8')  # readable, not escaped


@pytest.mark.parametrize(('write', 'reader'), [
    (write_wikidiverse, WikiDiverse),
    (lambda folder: write_mimic(folder, 'wiki_diverse'), WikiDiverse),
    (write_wikimel, WikiMEL),  # one of its mentions is in no split
    (write_wikimel_flat, WikiMEL),
    (lambda folder: write_mimic(folder, 'WIKIMEL'), WikiMEL),
    (write_richpedia, RichpediaMEL),  # none is
    (write_wikimel_text, WikiMELText),
])
def test_published_layouts(source, target, write, reader):
    write(source)
    dataset = reader(source)
    convert(dataset, target, copy_images=True)
    source.rename(source.with_name('moved'))  # its pictures are not needed any more
    again = MELFolder(target)
    dataset_moved = reader(source.with_name('moved'))
    assert same(dataset_moved.entities, again.entities)
    assert same(dataset_moved, again)
    assert [m.split for m in again.mentions] == [m.split for m in dataset.mentions]


def test_cells_become_files(target):
    emoji = EmojiMEL(split='val')
    mentions = emoji.mentions[:5]
    names = {name for mention in mentions for name in mention.candidates[:3]}
    entities = [entity for entity in emoji.entities if entity.id in names]
    write_mel_folder(entities, mentions, target)
    again = MELFolder(target)
    assert same(entities, again.entities)
    for mention, other in zip(mentions, again, strict=True):
        assert np.array_equal(looks(mention.pictures[0]), looks(other.pictures[0]))
        assert other.candidates == tuple(name for name in mention.candidates if name in names)
    with Image.open(again[0].pictures[0].path) as image:
        assert (image.format, image.size) == ('PNG', (64, 64))


def test_equal_pictures_are_one_file(source, target):
    draw(source, 'a.png', 'b.png')
    (source / 'copy.png').write_bytes((source / 'a.png').read_bytes())
    entities = [Entity(f'Q{i}', 'x', '', (Picture(source / name), )) for i, name in enumerate(['a.png', 'copy.png'])]
    cells = (Picture(source / 'a.png', (0, 0, 2, 2)), Picture(source / 'a.png', (1, 1, 3, 3)))
    entities.append(Entity('Q2', 'x', '', cells))
    write_mel_folder(entities, [], target, copy_images=True)
    assert len(list((target / 'images').iterdir())) == 2  # the cells are of one colour, and equal too
    assert same(entities, MELFolder(target).entities)


def test_part_of_a_data_set(source, target):
    write_own(source)
    convert(MELFolder(source)[1:3], target)
    assert [mention.id for mention in MELFolder(target)] == ['m1', 'm2']


def test_pictures_that_cannot_be_used_are_left_for_a_reader_to_count(source, target):
    (source / 'bad.png').write_text('no picture')
    (source / 'folder.png').mkdir()
    pictures = (Picture(source / 'gone.png'), Picture(source / 'gone.png', (0, 0, 1, 1)), Picture(source / 'bad.png'),
                Picture(source / 'bad.png', (0, 0, 1, 1)), Picture(source / 'folder.png'))
    write_mel_folder([replace(PARIS, pictures=pictures)], [MENTION], target, copy_images=True)
    entity, = MELFolder(target).entities
    assert [looks(picture) for picture in entity.pictures] == ['missing', 'missing', *['not an image'] * 3]
    assert len(list((target / 'images').iterdir())) == 1


def test_text_of_any_kind(target):
    # A line break, other breaks that are no lines here, an escape, half of a surrogate pair, a name of no UTF-8.
    text = 'a\nb\r\u2028\x85"\\\x00 東京 \U0001F600 \ud800 <b>'
    entity = Entity(text, text, text, (Picture(target.parent / 'a\udce9.png'), ))
    mention = Mention(text, 'b', text, answer=text, candidates=(text, ), captions=(text, ), split='val', span=(2, 3))
    write_mel_folder([entity], [mention], target)
    again = MELFolder(target)
    assert same([entity], again.entities)
    assert same([mention], again)
    assert again.entities[0].pictures[0].path.name == 'a\udce9.png'


def test_references_lead_through_links(tmp_path, source):
    # To the system, '..' after a link leads up from where the link points.
    (tmp_path / 'far' / 'away').mkdir(parents=True)
    (tmp_path / 'link').symlink_to('far/away')
    (tmp_path / 'linked_source').symlink_to('source')
    draw(source / 'images', 'a.png')
    draw(tmp_path / 'beside', 'b.png')
    pictures = (Picture(tmp_path / 'linked_source/images/a.png'), Picture(tmp_path / 'link/../../beside/b.png'))
    write_mel_folder([replace(PARIS, pictures=pictures)], [], tmp_path / 'link' / 'target')
    assert same([replace(PARIS, pictures=pictures)], MELFolder(tmp_path / 'link' / 'target').entities)
    assert (tmp_path / 'far' / 'away' / 'target').is_dir()


def test_a_relative_target(source, monkeypatch):
    draw(source, 'a.png')
    monkeypatch.chdir(source)
    entity = replace(PARIS, pictures=(Picture(source / 'a.png'), ))
    write_mel_folder([entity], [], 'new/folder')
    assert same([entity], MELFolder('new/folder').entities)


def fill(target):
    target.mkdir()
    (target / 'notes.txt').touch()


@pytest.mark.parametrize('make', [fill, lambda target: target.touch()])
def test_nothing_is_written_over(target, make):
    make(target)
    with pytest.raises(FileExistsError, match=r"target' is already there; name another folder or remove it"):
        write_mel_folder([PARIS], [MENTION], target)
    assert [path.name for path in target.parent.iterdir()] == ['target']


@pytest.mark.parametrize('make', [
    lambda target: target.mkdir(),
    lambda target: (target.with_name('real').mkdir(), target.symlink_to('real')),
    lambda target: target.symlink_to('real'),
])
def test_an_empty_target_is_used(target, make):
    make(target)
    write_mel_folder([PARIS], [MENTION], target)
    assert list(MELFolder(target)) == [MENTION]
    assert {path.name for path in target.parent.iterdir()} <= {'target', 'real'}


def failing(*records):
    yield from records
    raise RuntimeError('half-way')


@pytest.mark.parametrize('there', [False, True])
@pytest.mark.parametrize(('entities', 'mentions'), [((PARIS, ), None), (None, (MENTION, ))])
def test_a_failure_leaves_nothing_behind(source, target, entities, mentions, there):
    draw(source, 'a.png')
    picture = Picture(source / 'a.png', (0, 0, 2, 2))
    if there:
        target.mkdir()
    with pytest.raises(RuntimeError, match='half-way'):
        write_mel_folder(failing(replace(PARIS, pictures=(picture, ))) if entities else [PARIS],
                         failing(MENTION) if mentions else [MENTION], target)
    assert sorted(path.name for path in target.parent.iterdir()) == ['source', *(['target'] if there else [])]
    assert not there or not any(target.iterdir())


def test_the_folder_can_be_read_by_others(target):
    write_mel_folder([PARIS], [MENTION], target)
    assert target.stat().st_mode & 0o777 == 0o755
