"""Picture encoders, loaded the real way from small models on disk."""

import hashlib
import os
import sys
from typing import ClassVar
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image

from drin_pyg.datasets import Picture
from drin_pyg.features import ClipModel, Encoding, ObjectEncoder, PictureEncoder, PictureEncoders, encode_rows
from drin_pyg.features.backbones import load_backbone
from drin_pyg.features.first_weights import object_similarity, object_table
from drin_pyg.features.object_encoder import faster_rcnn
from tests.features.tiny_models import (
    save_clip,
    save_convolutional,
    save_pictures,
    save_resnet,
    save_state,
    save_timm,
    save_transformer,
)


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    import torchvision

    folder = tmp_path_factory.mktemp('models')
    save_resnet(folder / 'resnet')
    save_timm(folder / 'timm')
    save_clip(folder / 'clip')
    torch.manual_seed(0)
    save_state(folder / 'resnet18.pth', torchvision.models.resnet18())
    return folder


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pictures')
    paths = save_pictures(folder, 4)
    (folder / 'copy.png').write_bytes(paths[1].read_bytes())
    (folder / 'text.jpg').write_text('no picture')
    (folder / 'cut.png').write_bytes(paths[0].read_bytes()[:50])
    return [Picture(path) for path in (*paths, folder / 'copy.png', folder / 'text.jpg', folder / 'cut.png',
                                       folder / 'gone.png', folder)]


NAMES = ['transformers:{}/resnet', 'timm:local-dir:{}/timm', 'torchvision:resnet18']


def backbone(name, models, **options):
    if name.startswith('torchvision'):
        options['weights'] = str(models / 'resnet18.pth')
    return load_backbone(name.format(models), **options)


def by_hand(name, models, image):
    """The features of one picture from the library alone: the mean of the last feature map."""
    if name.startswith('transformers'):
        from transformers import AutoImageProcessor, ResNetModel

        pixels = AutoImageProcessor.from_pretrained(models / 'resnet')(image, return_tensors='pt')['pixel_values']
        return ResNetModel.from_pretrained(models / 'resnet').eval()(pixels).last_hidden_state.mean((2, 3))[0]
    if name.startswith('timm'):
        import timm
        from safetensors.torch import load_file
        from torchvision.transforms.functional import InterpolationMode, center_crop, normalize, resize, to_tensor

        model = timm.create_model('test_resnet', pretrained=False)
        model.load_state_dict(load_file(models / 'timm' / 'model.safetensors'))
        image = center_crop(resize(image, 73, InterpolationMode.BICUBIC), 64)
        return model.eval().forward_features(normalize(to_tensor(image), [.5] * 3, [.5] * 3)[None]).mean((2, 3))[0]
    import torchvision
    from torchvision.models.feature_extraction import create_feature_extractor

    model = torchvision.models.resnet18()
    model.load_state_dict(torch.load(models / 'resnet18.pth', weights_only=True))
    pixels = torchvision.models.ResNet18_Weights.DEFAULT.transforms()(image)[None]
    return create_feature_extractor(model.eval(), {'layer4': 'x'})(pixels)['x'].mean((2, 3))[0]


@pytest.mark.parametrize('name', NAMES)
@torch.no_grad()
def test_backbone_gives_the_mean_of_the_last_feature_map(name, models, pictures):
    found = encode_rows(backbone(name, models, batch_size=3), pictures)
    assert found.index.tolist() == [0, 1, 2, 3, 1, -1, -1, -1, -1]
    assert found.reasons == {5: 'not an image', 6: 'damaged', 7: 'missing', 8: 'not an image'}  # a folder, the last
    for i in range(4):
        expected = by_hand(name, models, pictures[i].open())
        torch.testing.assert_close(found.columns['pooled'][i], expected, rtol=1e-4, atol=1e-5)
    assert (found.columns['pooled'][0] - found.columns['pooled'][2]).abs().max() > 1e-3


def test_what_is_no_file_is_neither_waited_for_nor_an_error(models, tmp_path):
    os.mkfifo(tmp_path / 'pipe.png')
    names = ['pipe.png', 'a\0.png', '\ud83d.png', 'a' * 300]
    found = encode_rows(backbone(NAMES[0], models), [Picture(tmp_path / name) for name in names])
    assert found.index.tolist() == [-1] * 4
    assert found.reasons == {0: 'not an image', 1: 'unreadable', 2: 'unreadable', 3: 'unreadable'}


@pytest.mark.parametrize('name', NAMES)
def test_spec_names_the_weights(name, models):
    spec = backbone(name, models).spec
    file = {'transformers': 'resnet/model.safetensors', 'timm': 'timm/model.safetensors',
            'torchvision': 'resnet18.pth'}[spec['encoder']]
    digest = hashlib.sha256((models / file).read_bytes()).hexdigest()
    assert spec['revision'].startswith('sha256:')
    if spec['encoder'] == 'torchvision':
        assert spec['revision'] == f'sha256:{digest}'
    assert spec['preprocessing']


@pytest.mark.parametrize(('save', 'axes'), [(save_transformer, 1), (save_convolutional, (2, 3))])
@torch.no_grad()
def test_without_a_pooler_the_last_states_are_averaged(tmp_path, pictures, save, axes):
    from transformers import AutoImageProcessor, AutoModel

    folder = save(tmp_path / 'model')
    pixels = AutoImageProcessor.from_pretrained(folder)(pictures[1].open(), return_tensors='pt')['pixel_values']
    states = AutoModel.from_pretrained(folder).eval()(pixels).last_hidden_state
    found = encode_rows(load_backbone(f'transformers:{folder}'), pictures[:2]).columns['pooled']
    torch.testing.assert_close(found[1], states.mean(axes)[0], rtol=1e-4, atol=1e-5)


def test_weights_of_torchvision_are_asked_for_and_named(monkeypatch, models, pictures):
    import torchvision

    asked = []

    def download(name, weights):
        asked.append((name, weights))
        model = torchvision.models.resnet18()
        model.load_state_dict(torch.load(models / 'resnet18.pth', weights_only=True))
        return model

    monkeypatch.setattr('torchvision.models.get_model', download)
    encoder = load_backbone('torchvision:resnet18', weights='IMAGENET1K_V1')
    weights = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    assert asked == [('resnet18', weights)]
    assert weights.url.endswith(f"/{encoder.spec['revision']}")
    own = encode_rows(backbone(NAMES[2], models), pictures[:2])
    assert encode_rows(encoder, pictures[:2]).columns['pooled'].equal(own.columns['pooled'])


@pytest.mark.parametrize(('commit', 'revision'), [('0123abc', '0123abc'), (None, 'somebody/something')])
def test_spec_names_the_commit_of_a_hub(monkeypatch, models, commit, revision):
    from transformers import AutoImageProcessor, AutoModel

    model = AutoModel.from_pretrained(models / 'resnet')
    model.config._commit_hash = commit
    processor = AutoImageProcessor.from_pretrained(models / 'resnet')
    monkeypatch.setattr(AutoModel, 'from_pretrained', lambda path, **_: model)
    monkeypatch.setattr(AutoImageProcessor, 'from_pretrained', lambda path, **_: processor)
    spec = load_backbone('transformers:somebody/something').spec
    assert (spec['model'], spec['revision']) == ('somebody/something', revision)


@pytest.mark.parametrize('name', ['resnet152', 'keras:resnet', 'timm:', 'torchvision:nothing'])
def test_unknown_backbone(name):
    with pytest.raises(ValueError, match=r'LIBRARY:MODEL|no model'):
        load_backbone(name)


@pytest.mark.parametrize('name', ['timm:hf-hub:nobody/nothing', 'transformers:nobody/nothing'])
def test_model_that_cannot_be_loaded(name):
    with pytest.raises(OSError, match=r'cannot be loaded.*local path'):
        load_backbone(name)


@pytest.mark.parametrize('workers', [0, 2])
def test_several_encoders_decode_once(models, pictures, monkeypatch, workers):
    opened = []
    original = Picture.open
    monkeypatch.setattr(Picture, 'open', lambda self: opened.append(self) or original(self))
    parts = {'one': backbone(NAMES[0], models), 'two': ClipModel(f'local-dir:{models}/clip').picture_encoder()}
    both = encode_rows(PictureEncoders(parts), pictures, Encoding(num_workers=workers))
    assert workers or len(opened) == 7  # not the copy, and not the file that is missing
    for name, part in parts.items():
        assert both.columns[f'{name}.pooled'].allclose(encode_rows(part, pictures).columns['pooled'], atol=1e-6)


def test_library_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, 'open_clip', None)
    monkeypatch.setitem(sys.modules, 'timm', None)
    with pytest.raises(ImportError, match=r'install drin_pyg\[image\]'):
        encode_rows(ClipModel().text_encoder(), ['x'])
    with pytest.raises(ImportError, match=r'install drin_pyg\[image\]'):
        load_backbone('timm:resnet18')


def test_library_that_a_model_misses_is_no_missing_model(monkeypatch):
    from transformers import AutoModel

    def need(*_, **__):
        raise ImportError('This model needs another library')

    monkeypatch.setattr(AutoModel, 'from_pretrained', need)
    with pytest.raises(ImportError, match=r'^This model needs another library$'):
        load_backbone('transformers:somebody/something')


def test_no_pictures_have_a_width(models):
    assert encode_rows(backbone(NAMES[0], models), []).columns['pooled'].shape == (0, 6)


@torch.no_grad()
def test_clip_similarities_are_those_of_the_model(models, pictures):
    import open_clip

    clip = ClipModel(f'local-dir:{models}/clip')
    texts = ['a red dog', 'the cat', 'a red dog']
    text = encode_rows(clip.text_encoder(), texts)
    image = encode_rows(clip.picture_encoder(), pictures[:3])
    assert text.index.tolist() == [1, 0, 1]
    model, _, transform = open_clip.create_model_and_transforms(f'local-dir:{models}/clip')
    tokenizer = open_clip.get_tokenizer(f'local-dir:{models}/clip')
    for i, sentence in enumerate(texts):
        for j in range(3):
            _, _, scale = model.eval()(transform(pictures[j].open())[None], tokenizer([sentence]))
            x, y = model.encode_image(transform(pictures[j].open())[None]), model.encode_text(tokenizer([sentence]))
            logit = scale * torch.nn.functional.cosine_similarity(x, y)
            own = text.columns['pooled'][text.index[i]] @ image.columns['pooled'][j]
            torch.testing.assert_close(own, logit[0] / scale, rtol=1e-4, atol=1e-5)


class Boxes(torch.nn.Module):
    """A detector that finds what it is told: a list of (box, score) for the mean red of the picture."""

    found: ClassVar = {0: [((0, 0, 20, 10), .9), ((5, 5, 15, 25), .5), ((0, 0, 40, 30), .7), ((1, 1, 2, 20), .8)],
                       40: [], 80: [((0, 0, 40, 30), .3)], 120: [((3, 3, 9, 9), .2), ((3, 3, 9, 9), .2)]}

    def forward(self, images):
        found = [self.found[round(float(image[0].mean()) * 255)] for image in images]
        return [{'boxes': torch.tensor([box for box, _ in entries], dtype=torch.float32).view(-1, 4),
                 'scores': torch.tensor([score for _, score in entries])} for entries in found]


def test_objects_are_the_surest_boxes_of_their_own_picture(pictures):
    def sizes(crop):  # what a crop is, as three numbers
        return torch.tensor([*map(float, crop.size), float(np.asarray(crop).mean())])

    encoder = ObjectEncoder(Boxes(), PictureEncoder(lambda x: x, sizes, {'encoder': 'sizes'}), 3, batch_size=3)
    batch = [encoder.prepare(picture) for picture in pictures[:4]]
    objects, scores = encoder.detect(batch)
    mean = [float(np.asarray(picture.open()).mean()) for picture in pictures[:4]]
    # The second surest box of the first picture is one pixel wide, and shows nothing.
    assert scores.tolist() == [pytest.approx(row) for row in [[.9, 0, .7], [0, 0, 0], [.3, 0, 0], [.2, .2, 0]]]
    assert objects[0].tolist() == [pytest.approx([20, 10, mean[0]]), [0, 0, 0], pytest.approx([40, 30, mean[0]])]
    assert objects[2, 0].tolist() == pytest.approx([40, 30, mean[2]])
    assert objects[3, 1].tolist() == pytest.approx([6, 6, mean[3]])
    rows = encode_rows(encoder, pictures[:4]).columns['pooled']
    assert rows[1].tolist() == [0, 0, 0]
    unit = torch.nn.functional.normalize(objects, dim=-1)
    torch.testing.assert_close(rows[0], (.9 * unit[0, 0] + .7 * unit[0, 2]) / 1.6)


def test_object_tables_give_the_papers_weight():
    generator = torch.Generator().manual_seed(0)
    mention, entity = torch.randn(5, 3, 7, generator=generator), torch.randn(5, 2, 7, generator=generator)
    s, t = torch.rand(5, 3, generator=generator), torch.rand(5, 2, generator=generator)
    s[1], s[2, 1], t[3] = 0, 0, 0
    expected = []
    for i in range(5):  # written out
        total, weight = 1e-9, 0.
        for j in range(3):
            for k in range(2):
                cos = float(mention[i, j] @ entity[i, k] / (mention[i, j].norm() * entity[i, k].norm()))
                weight += float(s[i, j] * t[i, k]) * cos
                total += float(s[i, j] * t[i, k])
        expected.append(weight / total)
    own = (object_table(mention, s) * object_table(entity, t)).sum(-1)
    torch.testing.assert_close(own, torch.tensor(expected), rtol=0, atol=1e-6)
    torch.testing.assert_close(object_similarity(mention, s, entity, t), own, rtol=0, atol=1e-6)


def test_real_detector_loads_from_a_file_and_runs(tmp_path, models, pictures):
    from torchvision.models.detection import fasterrcnn_resnet50_fpn

    torch.manual_seed(0)
    path = save_state(tmp_path / 'detector.pth', fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None))
    detector = faster_rcnn(str(path))
    assert detector.revision.startswith('sha256:')
    encoder = ObjectEncoder(detector, backbone(NAMES[0], models), 2)
    rows = encode_rows(encoder, pictures[:1]).columns['pooled']
    assert rows.shape == (1, 6)
    assert rows.isfinite().all()
    assert encoder.spec['revision'] == detector.revision


def test_weights_of_the_detector_are_asked_for_and_named(monkeypatch):
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights as Weights

    asked = []
    monkeypatch.setattr('torchvision.models.detection.fasterrcnn_resnet50_fpn',
                        lambda weights: asked.append(weights) or Boxes())
    assert Weights.COCO_V1.url.endswith(f'/{faster_rcnn().revision}')
    assert asked == [Weights.COCO_V1]


def test_detector_that_cannot_be_downloaded(monkeypatch):
    def fail(weights):
        raise URLError('no network')

    monkeypatch.setattr('torchvision.models.detection.fasterrcnn_resnet50_fpn', fail)
    with pytest.raises(OSError, match=r"'Faster R-CNN, COCO_V1' cannot be loaded.*local path.*no network"):
        faster_rcnn()


def test_detector_without_such_weights():
    with pytest.raises(ValueError, match=r"no weights 'NOTHING'; known are COCO_V1"):
        faster_rcnn('NOTHING')


def test_bad_pictures_do_not_stop_worker_processes(models, tmp_path):
    for i in range(30):
        Image.new('RGB', (9, 9), (i, 0, 0)).save(tmp_path / f'{i}.png')
        if i % 3 == 0:
            (tmp_path / f'{i}.png').write_bytes(b'x' * i)
    items = [Picture(tmp_path / f'{i}.png') for i in range(30)]
    found = encode_rows(backbone(NAMES[0], models, batch_size=4), items, Encoding(tmp_path / 'store', num_workers=2))
    assert (found.index < 0).tolist() == [i % 3 == 0 for i in range(30)]
    assert found.reasons[0] == 'empty'
    assert set(found.reasons.values()) == {'empty', 'not an image'}
