import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from drin_pyg.datasets import EmojiMEL, open_dataset
from drin_pyg.datasets.emoji_mel import FILES
from drin_pyg.features import describe_pictures
from tests.datasets.layouts import write_lines


@pytest.fixture(scope='module')
def emoji():
    return EmojiMEL()


def test_sizes(emoji):
    assert len(emoji.entities) == 1799
    assert len(emoji) == len(emoji.mentions) == 3597
    assert Counter(mention.split for mention in emoji) == {'train': 2487, 'val': 391, 'test': 719}


@pytest.mark.parametrize(('split', 'size'), [('train', 2487), ('val', 391), ('test', 719)])
def test_splits(emoji, split, size):
    part = EmojiMEL(split=split)
    assert len(part) == size
    assert part.mentions == [mention for mention in emoji.mentions if mention.split == split]
    assert len(part.entities) == 1799


def test_no_answer_is_in_two_splits(emoji):
    answers = {split: {mention.answer for mention in emoji if mention.split == split} for split in emoji.splits}
    assert answers['train'].isdisjoint(answers['val'])
    assert answers['train'].isdisjoint(answers['test'])
    assert answers['val'].isdisjoint(answers['test'])


def test_candidates(emoji):
    ids = {entity.id for entity in emoji.entities}
    assert len(ids) == 1799
    for mention in emoji:
        assert len(mention.candidates) == len(set(mention.candidates)) == 32
        assert mention.answer in mention.candidates
        assert ids.issuperset(mention.candidates)


def test_place_of_the_answer_gives_nothing_away(emoji):
    places = Counter(mention.candidates.index(mention.answer) for mention in emoji)
    assert len(places) == 32
    assert max(places.values()) < 2 * len(emoji) / 32


def test_texts(emoji):
    assert len({mention.id for mention in emoji}) == 3597
    assert all(mention.surface and mention.sentence for mention in emoji)
    assert all(entity.name and entity.description for entity in emoji.entities)


def test_pictures_are_small_and_not_blank(emoji):
    for record in (*emoji.entities[::20], *emoji.mentions[::40]):
        image, = (picture.open() for picture in record.pictures)
        assert (image.mode, image.size) == ('RGB', (64, 64))
        assert np.asarray(image).std() > 0


def test_pictures_lie_inside_their_sheets(emoji):
    sizes = {}
    for name in FILES[2:]:
        with Image.open(emoji.folder / name) as sheet:
            sizes[name] = sheet.size
    for record in (*emoji.entities, *emoji.mentions):
        left, upper, right, lower = record.pictures[0].box
        width, height = sizes[record.pictures[0].path.name]
        assert 0 <= left < right <= width
        assert 0 <= upper < lower <= height


@pytest.mark.parametrize('sheet', ['twemoji.webp', 'fluent.webp'])
def test_pictures_of_a_mention_show_its_answer(emoji, sheet):
    # Another vendor's drawing resembles that of its entity more than those of the other answers: a cell that is off by
    # one would make this a matter of luck.
    mentions = [mention for mention in emoji if mention.pictures[0].path.name == sheet][::30]
    entity = {entity.id: entity for entity in emoji.entities}
    drawn = describe_pictures([mention.pictures[0].open() for mention in mentions])
    answer = describe_pictures([entity[mention.answer].pictures[0].open() for mention in mentions])
    similarity = drawn @ answer.t()
    place = (similarity > similarity.diagonal().unsqueeze(1)).sum(1)
    assert len(mentions) > 20
    assert (place == 0).float().mean() > 0.6


def test_is_a_pyg_dataset(emoji):
    part = emoji[torch.tensor([5, 3])]
    assert [mention.id for mention in part] == [emoji.mentions[5].id, emoji.mentions[3].id]
    assert len(emoji[10:30]) == 20
    assert emoji[-1] == emoji.mentions[-1]
    mask = torch.tensor([mention.split == 'val' for mention in emoji.mentions])
    assert len(emoji[mask]) == 391


def test_transform_is_applied_on_access():
    seen = []
    dataset = EmojiMEL(split='val', transform=lambda mention: seen.append(mention.id) or replace(mention, surface='x'))
    assert len(dataset) == 391
    assert seen == []
    assert dataset[4].surface == 'x'
    assert seen == [dataset.mentions[4].id]


def test_pre_transform_is_applied_once():
    seen = []
    dataset = EmojiMEL(split='val', pre_transform=lambda m: seen.append(m.id) or replace(m, surface='x'))
    assert dataset[4].surface == dataset[4].surface == 'x'
    assert len(seen) == 391


def test_another_folder(emoji, tmp_path):
    for name in FILES:
        shutil.copy(emoji.folder / name, tmp_path)
    dataset = EmojiMEL(str(tmp_path), split='val')
    assert len(dataset) == 391
    assert dataset[0].pictures[0].path.parent == tmp_path
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)  # nothing is written beside them


@pytest.mark.parametrize('missing', FILES)
def test_missing_file_is_named(emoji, tmp_path, missing):
    for name in FILES:
        if name != missing:
            (tmp_path / name).touch()
    with pytest.raises(FileNotFoundError, match=f"{missing}' is missing; EmojiMEL needs it"):
        EmojiMEL(str(tmp_path))


@pytest.mark.parametrize(('changes', 'message'), [
    ({'cand': None}, "'cand' must be a list, got None"),
    ({'cand': '12'}, "'cand' must be a list, got '12'"),
    ({'cand': [0, 1799]}, 'row 1799 is none of the 1799 entities'),
    ({'entity': -1}, 'row -1 is none of the 1799 entities'),  # and not the last one
    ({'entity': '5'}, "a row must be a whole number, got '5'"),
])
def test_rows_that_are_none_are_named(emoji, tmp_path, changes, message):
    for name in FILES:
        shutil.copy(emoji.folder / name, tmp_path)
    record = {'id': 'm', 'entity': 0, 'vendor': 'twemoji', 'surface': 'x', 'text': 'x', 'cand': [0], 'split': 'test'}
    write_lines(tmp_path / 'mentions.jsonl.gz', record, {**record, **changes})
    with pytest.raises(ValueError, match=rf"mentions\.jsonl\.gz', line 2: {message}"):
        _ = EmojiMEL(str(tmp_path)).mentions


def test_unknown_split():
    with pytest.raises(ValueError, match="has the splits train, val, test; got 'valid'"):
        EmojiMEL(split='valid')


def vendors_of(record):
    return [picture.path.stem for picture in record.pictures]


def test_several_pictures_of_a_mention(emoji):
    drawn = EmojiMEL(mention_vendors=('fluent', 'twemoji'))
    assert [replace(m, pictures=()) for m in drawn.mentions] == [replace(m, pictures=()) for m in emoji.mentions]
    assert list(drawn.entities) == list(emoji.entities)
    counts = Counter(tuple(vendors_of(mention)) for mention in drawn.mentions)
    assert set(counts) == {('fluent', 'twemoji'), ('twemoji', )}
    for mention, own in zip(drawn.mentions, emoji.mentions, strict=True):
        assert own.pictures[0] in mention.pictures  # the very cell that it has by default


def test_several_pictures_of_an_entity(emoji):
    drawn = EmojiMEL(mention_vendors=['twemoji'], entity_vendors=['noto', 'fluent'])
    assert [entity.pictures[0] for entity in drawn.entities] == [entity.pictures[0] for entity in emoji.entities]
    counts = Counter(tuple(vendors_of(entity)) for entity in drawn.entities)
    assert counts == {('noto', 'fluent'): 1524, ('noto', ): 275}
    assert {tuple(vendors_of(mention)) for mention in drawn.mentions} == {('twemoji', )}
    assert [replace(m, pictures=()) for m in drawn.mentions] == [replace(m, pictures=()) for m in emoji.mentions]
    assert Counter(mention.split for mention in drawn) == {'train': 2487, 'val': 391, 'test': 719}


def test_all_pictures_of_an_entity_show_the_same(emoji):
    drawn = EmojiMEL(mention_vendors=(), entity_vendors=('noto', 'twemoji', 'fluent'))
    entities = [entity for entity in drawn.entities if len(entity.pictures) == 3][::30]
    noto, *others = (describe_pictures([entity.pictures[i].open() for entity in entities]) for i in range(3))
    for other in others:
        similarity = other @ noto.t()
        assert ((similarity > similarity.diagonal().unsqueeze(1)).sum(1) == 0).float().mean() > 0.6
    assert all(mention.pictures == () for mention in drawn.mentions)


@pytest.mark.parametrize(('arguments', 'message'), [
    ({'entity_vendors': ('noto', 'fluent')}, "'fluent' draws both mentions .each mention's own is Twemoji or Fluent"),
    ({'entity_vendors': ('twemoji', )}, "'twemoji' draws both mentions .* give the two sides different vendors"),
    ({'mention_vendors': ('noto', )}, "'noto' draws both mentions and entities, .* very picture of its answer"),
    ({'mention_vendors': ('apple', )}, "'mention_vendors' names 'apple', which .*; vendors are noto, twemoji, fluent"),
    ({'entity_vendors': ('noto', 'noto')}, "'entity_vendors' names a vendor twice: noto, noto; name each once"),
    ({'mention_vendors': 'twemoji'}, r"'mention_vendors' must be a sequence of vendors such as \('twemoji', \)"),
])
def test_vendors_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        EmojiMEL(**arguments)


@pytest.mark.parametrize(('source', 'mention', 'entity'), [
    ('emoji', None, ('noto', )),
    ('emoji:mention=twemoji,entity=noto+fluent', ('twemoji', ), ('noto', 'fluent')),
    ('emoji:mention=fluent+twemoji', ('fluent', 'twemoji'), ('noto', )),
])
def test_vendors_in_a_source(source, mention, entity):
    dataset = open_dataset(source, 'val')
    assert (type(dataset), dataset.split) == (EmojiMEL, 'val')
    assert (dataset.mention_vendors, dataset.entity_vendors) == (mention, entity)


@pytest.mark.parametrize('source', ['emoji:', 'emoji:twemoji', 'emoji:side=noto', 'emoji:mention=twemoji,',
                                    'emoji:mention=twemoji,mention=fluent'])
def test_source_that_cannot_be_read(source):
    with pytest.raises(ValueError, match=r"cannot be read; write 'emoji:mention=twemoji,entity=noto\+fluent', each"):
        open_dataset(source)


@pytest.mark.parametrize(('source', 'message'), [
    ('emoji:mention=', "'mention_vendors' names '', which has drawn nothing here"),
    ('emoji:entity=noto+fluent', "'fluent' draws both mentions"),
])
def test_vendors_of_a_source_are_checked(source, message):
    with pytest.raises(ValueError, match=message):
        open_dataset(source)
