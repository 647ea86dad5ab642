import pytest
import torch

from drin_pyg.features import swap_images
from drin_pyg.vocabulary import EDGE_TYPES, MENTION_IMAGE, MENTION_TEXT, TEXT_TEXT

EVERYBODY = torch.arange(6)


def images_of(tables, mention):
    start = int(tables.first_row(MENTION_IMAGE, torch.tensor([mention])))
    return range(start, start + int(tables.num_rows(MENTION_IMAGE, torch.tensor([mention]))))


@pytest.mark.parametrize('fraction', [0.0, 0.5, 1.0])
def test_a_mention_keeps_its_images_or_gets_all_of_another_ones(world, fraction):
    before, gold = world.tables, world.candidates.gold
    after = swap_images(before, world.candidates, EVERYBODY, fraction, seed=3)
    hit = 0
    for m in range(6):
        found = after.x[MENTION_IMAGE][images_of(after, m)]
        givers = [other for other in range(6) if found.equal(before.x[MENTION_IMAGE][images_of(before, other)])]
        if fraction == 0.0:
            assert m in givers
        elif m not in givers:
            hit += 1
            assert any(gold[other] != gold[m] for other in givers)
            giver = givers[0]
            for edge_type in EDGE_TYPES:
                if edge_type[0] == MENTION_IMAGE:  # the first weights go with the image
                    ours = after.weight[edge_type][0][images_of(after, m)]
                    assert ours.equal(before.weight[edge_type][0][images_of(before, giver)])
    assert hit > 0 or fraction == 0.0
    assert after.x[MENTION_TEXT].equal(before.x[MENTION_TEXT])
    assert after.weight[TEXT_TEXT][0].equal(before.weight[TEXT_TEXT][0])


def test_others_are_left_alone_and_a_smaller_share_is_a_part_of_a_larger_one(emoji_data):
    data, mention = emoji_data, emoji_data.split['val']
    changed = []
    for fraction in (0.2, 0.6, 1.0):
        x = swap_images(data.tables, data.candidates, mention, fraction).x[MENTION_IMAGE]
        changed.append({int(m) for m in (x != data.tables.x[MENTION_IMAGE]).any(1).nonzero()})
    assert changed[0] < changed[1] < changed[2] == set(mention.tolist())
    assert 0.1 < len(changed[0]) / mention.numel() < 0.3


def test_nonsense_is_named(world, single_world):
    with pytest.raises(ValueError, match='between 0 and 1'):
        swap_images(world.tables, world.candidates, EVERYBODY, 1.5)
    with pytest.raises(ValueError, match='image_image are given per pair'):
        swap_images(single_world.tables, single_world.candidates, EVERYBODY, 0.5)
