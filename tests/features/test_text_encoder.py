import pytest
import torch

from drin_pyg.features import Encoding, TextEncoder, encode_rows
from drin_pyg.features.text_encoder import MINILM_SHA256
from tests.features.tiny_models import WORDS, save_bert

TEXTS = ['the cat sat on a mat', 'dog', 'the red dog is on a red mat', 'the the the']
ALL = ('mean', 'tokens', 'span', 'cls', 'pooler')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return save_bert(tmp_path_factory.mktemp('models') / 'bert')


def hidden(folder, words):
    """States of [CLS], the words and [SEP], and the pooler's output: the text alone, no padding and no mask."""
    from transformers import BertModel

    ids = [2, *(WORDS.index(word) for word in words), 3]
    with torch.no_grad():
        out = BertModel.from_pretrained(folder).eval()(torch.tensor([ids]))
    return out.last_hidden_state[0], out.pooler_output[0]


def close(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


@pytest.mark.parametrize('batch_size', [1, 2, 64])
def test_every_pooling_equals_its_definition(folder, batch_size):
    out = TextEncoder(folder, ALL, batch_size=batch_size)(TEXTS, [(4, 7), None, (8, 11), (0, 7)])
    for i, text in enumerate(TEXTS):
        states, pooler = hidden(folder, text.split())
        span = [slice(2, 3), slice(1, -1), slice(3, 4), slice(1, 3)][i]
        close(out['mean'][i], states.mean(0))
        close(out['tokens'][i], states[1:-1].mean(0))
        close(out['span'][i], states[span].mean(0))
        close(out['cls'][i], states[0])
        close(out['pooler'][i], pooler)


def test_span_takes_every_token_it_touches(folder):
    # "cats" is two word pieces; a span over part of a word takes the whole piece.
    out = TextEncoder(folder, ('span', ))(['the cats sat', 'the cats sat', 'the cats sat'], [(4, 8), (4, 6), (7, 10)])
    states, _ = hidden(folder, ['the', 'cat', '##s', 'sat'])
    close(out['span'], torch.stack([states[2:4].mean(0), states[2], states[3:5].mean(0)]))


LONG = ' '.join(['the cat sat on a mat'] * 20)  # 120 tokens; the model has 32 positions


@pytest.mark.parametrize('place', [0, 1, 7, 15, 60, 100, 118, 119])
def test_window_moves_to_the_mention(folder, place):
    words = LONG.split()
    start = len(' '.join(words[:place])) + (place > 0)
    encoder = TextEncoder(folder, ('span', ), max_length=12)
    out = encoder([LONG], [(start, start + len(words[place]))])['span'][0]
    # Whatever the window is, it is ten neighbouring words (fewer at the end) that show the mention, and words on both
    # sides of it unless the text ends there.
    seen = [first for first in range(max(0, place - 9), place + 1)
            if torch.allclose(hidden(folder, words[first:first + 10])[0][1 + place - first], out, atol=1e-5)]
    margins = [min(place - first, min(first + 9, 119) - place) for first in seen]
    assert margins
    assert max(margins) >= min(2, place, 119 - place)


def test_mention_longer_than_the_window(folder):
    out = TextEncoder(folder, ('span', ), max_length=12)([LONG], [(0, len(LONG))])['span'][0]
    close(out, hidden(folder, LONG.split()[:10])[0][1:-1].mean(0))


def test_long_text_without_a_span_is_cut_off(folder):
    out = TextEncoder(folder, ('tokens', 'span'), max_length=12)([LONG, 'dog'], [None, (0, 3)])
    close(out['tokens'][0], hidden(folder, LONG.split()[:10])[0][1:-1].mean(0))
    close(out['span'][1], hidden(folder, ['dog'])[0][1])


@pytest.mark.parametrize(('text', 'span'), [('', None), ('', (0, 0)), ('   ', (0, 3)), ('the cat', (3, 4)),
                                            ('the cat', (50, 60)), ('\x00', (0, 1))])
def test_nothing_gives_nan(folder, text, span):
    out = TextEncoder(folder, ALL)([text], [span])
    assert all(rows.isfinite().all() for rows in out.values())
    if text == 'the cat':  # a span without a token: the whole text stands in
        close(out['span'], out['tokens'])


def test_order_and_duplicates(folder):
    encoder = TextEncoder(folder)
    out = encoder(TEXTS)['mean']
    close(encoder([TEXTS[2], TEXTS[0], TEXTS[2]])['mean'], out[[2, 0, 2]])


def test_same_text_with_two_spans_is_two_rows(folder):
    encoder = TextEncoder(folder, ('span', ))
    found = encode_rows(encoder, [('the cat', (0, 3)), ('the cat', (4, 7)), ('the cat', (0, 3))])
    assert found.index.tolist() == [0, 1, 0]
    assert not torch.equal(found.columns['span'][0], found.columns['span'][1])
    assert encode_rows(TextEncoder(folder, ('mean', )), [('the cat', (0, 3)), ('the cat', (4, 7))]).index.tolist() \
        == [0, 0]


def test_unit_rows(folder):
    plain, unit = (TextEncoder(folder, normalize=normalize)(TEXTS)['mean'] for normalize in (False, True))
    close(unit, plain / plain.norm(dim=-1, keepdim=True))


def test_no_texts(folder):
    out = TextEncoder(folder, ALL)([])
    assert {name: rows.shape for name, rows in out.items()} == dict.fromkeys(ALL, (0, 8))


def test_left_padding(folder):
    encoder = TextEncoder(folder, ALL)
    expected = encoder(TEXTS, [(0, 3)] * 4)
    other = TextEncoder(folder, ALL)
    other._tokenizer.padding_side = 'left'
    # Positions shift under the padding, so only the longest text keeps its states; the choice of tokens is what counts.
    out = other([TEXTS[2]] * 2, [(0, 3)] * 2)
    close(out['span'][0], expected['span'][2])
    inputs, offsets = other._tokenize([('dog', None), ('the cat', None)])
    assert inputs['input_ids'].tolist() == [[0, 2, 6, 3], [2, 4, 5, 3]]
    assert offsets.tolist() == [[[0, 0], [0, 0], [0, 3], [0, 0]], [[0, 0], [0, 3], [4, 7], [0, 0]]]


def test_spec_tells_weights_apart(folder, tmp_path):
    from transformers import BertModel

    model = BertModel.from_pretrained(folder)
    torch.nn.init.ones_(model.pooler.dense.bias)
    model.save_pretrained(tmp_path / 'bert')
    one, other = TextEncoder(folder).spec, TextEncoder(tmp_path / 'bert').spec
    assert one['model'] == other['model'] == 'bert'
    assert one['revision'] != other['revision']
    assert one['revision'].startswith('sha256:')


def test_model_that_is_nowhere(tmp_path):
    with pytest.raises(OSError, match=r"'nobody/nothing' cannot be loaded.*local path"):
        TextEncoder('nobody/nothing')(['the'])
    with pytest.raises(FileNotFoundError, match='holds no weights'):
        encode_rows(TextEncoder(tmp_path), [('the', None)], Encoding(tmp_path / 'store'))


def test_model_without_a_pooler(tmp_path, folder):
    from transformers import BertModel

    (tmp_path / 'bert').mkdir()
    for path in folder.iterdir():
        (tmp_path / 'bert' / path.name).write_bytes(path.read_bytes())
    encoder = TextEncoder(tmp_path / 'bert', ('pooler', ))
    encoder.__dict__['_model'] = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    with pytest.raises(ValueError, match='has no pooler'):
        encoder(['the'])


def test_minilm_knows_what_texts_mean():
    cat, kitten, lyon, train = TextEncoder.minilm()([
        'a cat', 'a kitten', 'a city in France', 'a train runs on rails'])['mean']
    assert cat @ kitten > 0.6
    assert max(cat @ lyon, cat @ train, lyon @ train) < 0.4
    torch.testing.assert_close(cat.norm(), torch.tensor(1.0))


def test_minilm_with_other_weights_is_refused(monkeypatch):
    monkeypatch.setattr('drin_pyg.features.text_encoder.MINILM_SHA256', MINILM_SHA256[::-1])
    with pytest.raises(ValueError, match='other weights'):
        TextEncoder.minilm()
