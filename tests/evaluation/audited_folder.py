"""A small folder in which mentions share every kind of thing across splits, once or twice."""

import numpy as np
from PIL import Image

from tests.datasets.layouts import write_lines


def pattern(seed):
    """A picture that no picture of another seed looks like."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC)


def mention(name, split, sentence, surface, image, answer, *candidates):
    record = {'id': name, 'sentence': sentence, 'mention': surface, 'candidates': list(candidates), 'split': split}
    if answer is not None:
        record['answer'] = answer
    return record | ({'images': [f'images/{image}']} if image else {})


MENTIONS = (
    mention('t1', 'train', 'We saw Paris.', 'Paris', 'a.png', 'Q1', 'Q1', 'Q2', 'Q3'),
    mention('t2', 'train', 'The  LAKE is deep', 'LAKE', 'b.png', 'Q3', 'Q3', 'Q4'),
    mention('t3', 'train', 'Rome, by night', 'Rome', 'white.png', 'Q4', 'Q4', 'Q1'),
    mention('t4', 'train', 'Nobody knows', 'x', None, None),
    # The sentence and the picture of t2, in another file.
    mention('v1', 'val', 'the lake IS   deep', 'Lake', 'b.bmp', 'Q3', 'Q4', 'Q3'),
    # The words of t3; pictures of one colour do not look alike.
    mention('v2', 'val', 'by night: rome', 'Rome', 'small_white.png', 'Q4'),
    # The picture of t1, compressed.
    mention('s1', 'test', 'A town', 'Paris', 'a.jpg', 'Q2', 'Q1', 'Q2'),
    # The picture of its answer.
    mention('s2', 'test', 'A pond', 'Lake', 'p3.bmp', 'Q3', 'Q4', 'Q3'),
    # The picture of a wrong candidate.
    mention('s3', 'test', 'A pond', 'Paris', 'p1.bmp', 'Q2', 'Q1', 'Q2'),
    # An answer that is nowhere, a picture that is nowhere, and a candidate that has the name.
    mention('s4', 'test', 'In Oslo', 'Oslo', 'gone.png', 'Q9', 'Q4', 'Q5'),
    # The sentence of t1 and the picture of t2 and v1.
    mention('s5', 'test', 'We saw paris.', 'Paris', 'b.png', 'Q1', 'Q1', 'Q4'),
)
ENTITIES = (
    {'id': 'Q1', 'name': 'Paris', 'images': ['images/p1.png']},
    {'id': 'Q2', 'name': 'paris', 'images': ['images/p2.png']},
    {'id': 'Q3', 'name': 'Lake', 'images': ['images/p3.png']},
    {'id': 'Q4', 'name': 'Rome'},
    {'id': 'Q5', 'name': 'Oslo', 'images': ['images/lost.png']},
    {'id': 'Q6', 'name': 'Unasked', 'images': ['images/never_opened.png']},
)
OVERLAPS = {
    ('test', 'train'): {'sentence': 1, 'words': 1, 'image': 1, 'near_image': 2, 'sentence_and_image': 0, 'answer': 2,
                        'surface_and_answer': 2},
    ('val', 'train'): {'sentence': 1, 'words': 2, 'image': 1, 'near_image': 1, 'sentence_and_image': 1, 'answer': 2,
                       'surface_and_answer': 2},
    ('test', 'val'): {'sentence': 0, 'words': 0, 'image': 1, 'near_image': 1, 'sentence_and_image': 0, 'answer': 1,
                      'surface_and_answer': 1},
}


def write_audited(folder):
    """The folder, with pictures."""
    images = folder / 'images'
    images.mkdir(parents=True)
    for name, seed in (('a', 1), ('b', 2), ('p1', 3), ('p2', 4), ('p3', 5)):
        pattern(seed).save(images / f'{name}.png')
    for name, seed in (('b', 2), ('p1', 3), ('p3', 5)):
        pattern(seed).save(images / f'{name}.bmp')
    pattern(1).save(images / 'a.jpg', quality=60)
    Image.new('RGB', (64, 64), 'white').save(images / 'white.png')
    Image.new('RGB', (32, 32), 'white').save(images / 'small_white.png')
    write_lines(folder / 'entities.jsonl', *ENTITIES)
    write_lines(folder / 'mentions.jsonl', *MENTIONS)


def write_text_only(folder, with_split=True):
    """The same without pictures, and perhaps without splits."""
    folder.mkdir(parents=True, exist_ok=True)
    left_out = {'images'} if with_split else {'images', 'split'}
    for name, records in (('entities.jsonl', ENTITIES), ('mentions.jsonl', MENTIONS)):
        write_lines(folder / name, *({k: v for k, v in record.items() if k not in left_out} for record in records))
