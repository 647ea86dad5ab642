import pytest
import torch

from drin_pyg.datasets import EmojiMEL, Mention
from drin_pyg.features import (
    DescriptorEncoder,
    OfflineFeatures,
    Sequences,
    TextEncoder,
    encode_rows,
    make_preset,
    token_sequences,
)
from drin_pyg.features.picture_descriptors import regions_of
from tests.features.test_text_encoder import LONG, hidden
from tests.features.tiny_models import save_bert

TEXTS = ['the cat sat on a mat', 'dog', 'the cats sat', '', 'the cat sat on a mat', 'the cat sat on a mat']
SPANS = [(4, 7), None, (4, 8), None, (4, 7), (0, 3)]
PIECES = [['the', 'cat', 'sat', 'on', 'a', 'mat'], ['dog'], ['the', 'cat', '##s', 'sat']]
MARKED = ['010000', '1', '0110', '11', '010000', '100000']  # an empty text has [CLS] and [SEP]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return save_bert(tmp_path_factory.mktemp('models') / 'bert')


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('DRIN_PYG_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


def parts(sequences, m):
    at = slice(int(sequences.ptr[m]), int(sequences.ptr[m + 1]))
    return sequences.x[at].float(), None if sequences.marked is None else sequences.marked[at].tolist()


@pytest.mark.parametrize('batch_size', [1, 3, 64])
def test_tokens_are_the_states_of_the_text(folder, batch_size):
    tokens = token_sequences(TextEncoder(folder, batch_size=batch_size), TEXTS, SPANS)
    assert tokens.x.dtype == torch.half
    expected = [hidden(folder, words)[0][1:-1] for words in PIECES]
    expected += [hidden(folder, [])[0], expected[0], expected[0]]
    assert tokens.num_owners == len(TEXTS)
    for m, states in enumerate(expected):
        x, marked = parts(tokens, m)
        torch.testing.assert_close(x, states, rtol=0, atol=4e-3)  # half precision
        assert marked == [mark == '1' for mark in MARKED[m]]


def test_window_moves_to_the_mention(folder):
    start = len(' '.join(LONG.split()[:60])) + 1
    x, marked = parts(token_sequences(TextEncoder(folder, max_length=12), [LONG], [(start, start + 3)]), 0)
    place = marked.index(True)
    assert len(marked) == 10
    assert sum(marked) == 1
    assert min(place, 9 - place) >= 2
    words = LONG.split()[60 - place:70 - place]
    torch.testing.assert_close(x, hidden(folder, words)[0][1:-1], rtol=0, atol=4e-3)


def test_second_run_finds_the_first(folder, cache, monkeypatch):
    first = token_sequences(TextEncoder(folder), TEXTS, SPANS)
    with monkeypatch.context() as patch:
        patch.setattr(TextEncoder, 'tokens', lambda *_: pytest.fail('encoded again'))
        again = token_sequences(TextEncoder(folder, ('span', ), normalize=True), TEXTS, SPANS)
    for name in ('x', 'ptr', 'marked'):
        assert getattr(again, name).equal(getattr(first, name))
    assert [path.suffix for path in sorted(cache.iterdir())] == ['.lock', '.safetensors']
    other = token_sequences(TextEncoder(folder, max_length=6), TEXTS, SPANS)
    assert other.ptr[-1] < first.ptr[-1]  # another model or window, another file
    token_sequences(TextEncoder(folder), TEXTS, [None] * len(TEXTS))
    assert len(list(cache.glob('*.safetensors'))) == 3


@pytest.mark.parametrize('damage', [lambda whole: whole[:100], lambda whole: whole[:-1] + bytes([whole[-1] ^ 1])])
def test_damaged_file_is_made_again(folder, cache, caplog, damage):
    first = token_sequences(TextEncoder(folder), TEXTS, SPANS)
    path, = cache.glob('*.safetensors')
    path.write_bytes(damage(path.read_bytes()))
    again = token_sequences(TextEncoder(folder), TEXTS, SPANS)
    assert again.x.equal(first.x)
    assert again.marked.equal(first.marked)
    assert 'is damaged' in caplog.text
    assert token_sequences(TextEncoder(folder), TEXTS, SPANS).x.equal(first.x)


def test_no_texts(folder):
    tokens = token_sequences(TextEncoder(folder), [], [])
    assert tokens.x.shape == (0, 8)
    assert tokens.num_owners == 0


def test_select_and_inconsistent_sequences():
    x, ptr = torch.arange(10.0).reshape(5, 2), torch.tensor([0, 2, 2, 5])
    chosen = Sequences(x, ptr, torch.tensor([True, False, False, True, False])).select(torch.tensor([2, 1, 0]))
    assert chosen.x[:, 0].tolist() == [4, 6, 8, 0, 2]
    assert chosen.counts.tolist() == [3, 0, 2]
    assert chosen.marked.tolist() == [False, True, False, True, False]
    for wrong in (torch.tensor([0, 2]), torch.tensor([0, 3, 2, 5]), torch.tensor([1, 5])):
        with pytest.raises(ValueError, match="'ptr' must rise from 0"):
            Sequences(x, wrong)
    with pytest.raises(ValueError, match=r"'marked' must be bool \[5\]"):
        Sequences(x, ptr, torch.ones(5))


def test_regions_cut_every_block_at_the_same_place():
    pictures = [picture for entity in EmojiMEL().entities[:3] for picture in entity.pictures]
    found = encode_rows(DescriptorEncoder(), pictures)
    descriptors = found.columns['descriptors'][found.index]
    regions = regions_of(descriptors)
    assert regions.shape == (len(pictures), 16, 148)
    for picture in range(len(pictures)):
        for row in range(4):
            for column in range(4):
                values, start = [], 0
                for depth, side in ((3, 16), (16, 8), (9, 8)):
                    cell = side // 4
                    for d in range(depth):
                        for y in range(row * cell, (row + 1) * cell):
                            for x in range(column * cell, (column + 1) * cell):
                                values.append(descriptors[picture, start + d * side * side + y * side + x])
                    start += depth * side * side
                assert regions[picture, 4 * row + column].equal(torch.stack(values))


def test_offline_preset():
    entities = EmojiMEL().entities[::100]
    pictures = [entity.pictures for entity in entities[:3]]
    mentions = [
        Mention('a', 'cat', 'a cat', pictures[0] + pictures[1], span=(2, 5)),
        Mention('b', 'dog', 'no animal'),
        Mention('c', 'dog', 'a dog', pictures[2], span=(2, 5)),
    ]
    tokens, regions = OfflineFeatures().sequences(mentions)
    assert tokens.counts.tolist() == [2, 2, 2]
    assert tokens.marked.tolist() == [False, True, True, True, False, True]
    pooled = TextEncoder.minilm(pooling=('span', ))(['a cat'], [(2, 5)])['span'][0]
    state = tokens.x[1].float()
    torch.testing.assert_close(state / state.norm(), pooled, rtol=0, atol=2e-3)
    assert regions.counts.tolist() == [32, 0, 16]
    own = encode_rows(DescriptorEncoder(), [pictures[2][0]])
    assert regions.x[32:].equal(regions_of(own.columns['descriptors'])[0])


def test_text_preset_has_no_regions(folder):
    mentions = [Mention('a', 'cat', 'the cat', span=(4, 7)), Mention('b', 'dog', 'red dog sat', span=(4, 7))]
    tokens, regions = make_preset('text', text=str(folder)).sequences(mentions)
    assert tokens.counts.tolist() == [2, 3]
    assert tokens.marked.tolist() == [False, True, False, True, False]
    assert regions.counts.tolist() == [0, 0]
    assert regions.x.size(0) == 0


def test_preset_without_sequences():
    with pytest.raises(ValueError, match=r"Preset 'paper' has no tokens and regions.*'offline' or 'text'"):
        make_preset('paper').sequences([])
