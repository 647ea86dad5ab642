"""Small models with random weights, saved as their libraries save real ones."""

import json

import torch
from PIL import Image

WORDS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'the', 'cat', 'dog', 'sat', 'on', 'a', 'mat', 'red', 'is', '##s', '.']


def save_bert(folder):
    """A small BERT with a word-piece tokenizer."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    BertTokenizerFast(vocab={word: i for i, word in enumerate(WORDS)}).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(WORDS), hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
                        intermediate_size=16, max_position_embeddings=32)
    BertModel(config).save_pretrained(folder)
    return folder


def save_resnet(folder):
    """A small ResNet of transformers with its image processor."""
    from transformers import ConvNextImageProcessor, ResNetConfig, ResNetModel

    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=4, hidden_sizes=[4, 6], depths=[1, 1], layer_type='basic')
    ResNetModel(config).save_pretrained(folder)
    ConvNextImageProcessor(size={'shortest_edge': 32}, crop_pct=1.0).save_pretrained(folder)
    return folder


def save_transformer(folder):
    """A small vision transformer that has no pooler."""
    from transformers import ConvNextImageProcessor, ViTMSNConfig, ViTMSNModel

    torch.manual_seed(0)
    ViTMSNModel(ViTMSNConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
                             image_size=32, patch_size=16)).save_pretrained(folder)
    ConvNextImageProcessor(size={'shortest_edge': 32}, crop_pct=1.0).save_pretrained(folder)
    return folder


def save_convolutional(folder):
    """A small network that has no pooler and gives feature maps."""
    from transformers import ConvNextImageProcessor, SegformerConfig, SegformerModel

    torch.manual_seed(0)
    SegformerModel(SegformerConfig(num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[4, 6],
                                   patch_sizes=[7, 3], strides=[4, 2], num_attention_heads=[1, 2],
                                   mlp_ratios=[2, 2])).save_pretrained(folder)
    ConvNextImageProcessor(size={'shortest_edge': 32}, crop_pct=1.0).save_pretrained(folder)
    return folder


def save_timm(folder):
    """A small backbone of timm, as ``push_to_hf_hub`` lays it out."""
    import timm
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = timm.create_model('test_resnet', pretrained=False)
    save_file({name: x.contiguous() for name, x in model.state_dict().items()}, folder / 'model.safetensors')
    config = {'architecture': 'test_resnet', 'num_classes': 1000,
              'pretrained_cfg': {'input_size': [3, 64, 64], 'num_classes': 1000, 'mean': [.5] * 3, 'std': [.5] * 3,
                                 'first_conv': 'conv1.0', 'classifier': 'fc', 'interpolation': 'bicubic'}}
    (folder / 'config.json').write_text(json.dumps(config))
    return folder


def save_clip(folder):
    """A small CLIP of OpenCLIP."""
    import open_clip
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config = {'embed_dim': 16, 'vision_cfg': {'image_size': 32, 'layers': 1, 'width': 32, 'head_width': 16,
                                              'patch_size': 16},
              'text_cfg': {'context_length': 77, 'vocab_size': 49408, 'width': 16, 'heads': 2, 'layers': 1}}
    torch.manual_seed(0)
    model = open_clip.CLIP(**config)
    save_file({name: x.contiguous() for name, x in model.state_dict().items()}, folder / 'open_clip_model.safetensors')
    preprocess = {'mean': [.5, .5, .5], 'std': [.5, .5, .5], 'interpolation': 'bicubic', 'resize_mode': 'shortest'}
    (folder / 'open_clip_config.json').write_text(json.dumps({'model_cfg': config, 'preprocess_cfg': preprocess}))
    return folder


def save_state(path, model):
    """A state dict, as torchvision's downloads are."""
    torch.save(model.state_dict(), path)
    return path


def save_pictures(folder, count, size=(40, 30)):
    """Pictures of one colour each, and where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f'{i}.png' for i in range(count)]
    for i, path in enumerate(paths):
        Image.new('RGB', size, (40 * i % 256, 90 * i % 256, 200 - 17 * i % 200)).save(path)
    return paths
