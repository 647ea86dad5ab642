r"""Picture encoders of the libraries people use; every one loads from a hub's name or from local files."""

from pathlib import Path

import torch
from torch import Tensor, nn

from drin_pyg.features.picture_encoder import PictureEncoder
from drin_pyg.features.revision import loading, revision_of
from drin_pyg.features.row_encoder import RowEncoder


def torchvision_encoder(name: str = 'resnet152', weights: str = 'IMAGENET1K_V2', **options) -> PictureEncoder:
    r"""A classifier of torchvision without its last layer.

    Of a ResNet this is the mean of the 49 regions of its last feature map, which is both the
    mention's vertex ("regions") and the entity's ("pooler") in DRIN (Section 3.2).

    Args:
        name: Such as ``"resnet152"``.
        weights: Name of torchvision's weights, downloaded on first use, or a local file with a state
            dict.
        **options: ``batch_size`` and ``device``; see :class:`PictureEncoder`.

    Raises:
        ValueError: If torchvision has no such model or weights.
    """
    from torchvision.models import get_model, get_model_weights

    try:
        known = get_model_weights(name)
        chosen = known['DEFAULT'] if Path(weights).is_file() else known[weights]
    except (KeyError, ValueError) as error:
        raise ValueError(f"torchvision has no model '{name}' with weights '{weights}': {error}") from error
    if Path(weights).is_file():
        with loading(weights):
            model = get_model(name, weights=None)
            model.load_state_dict(torch.load(weights, map_location='cpu', weights_only=True))
    else:
        with loading(f'{name}, {weights}'):
            model = get_model(name, weights=chosen)
    head = 'fc' if hasattr(model, 'fc') else 'heads' if hasattr(model, 'heads') else 'classifier'
    setattr(model, head, nn.Identity())
    revision = revision_of(weights, lambda: None) if Path(weights).is_file() else chosen.url.rsplit('/', 1)[-1]
    transform = chosen.transforms()
    spec = {'encoder': 'torchvision', 'model': name, 'revision': revision, 'preprocessing': _words(transform)}
    return PictureEncoder(model, transform, spec, **options)


def timm_encoder(name: str, **options) -> PictureEncoder:
    r"""Any backbone of timm, pooled.

    Args:
        name: Such as ``"resnet152.a1h_in1k"``, ``"hf-hub:owner/model"``, or ``"local-dir:/folder"``
            with ``config.json`` and weights.
        **options: ``batch_size`` and ``device``; see :class:`PictureEncoder`.
    """
    try:
        import timm
    except ImportError as error:
        raise ImportError("Backbones of timm need 'timm'; install drin_pyg[image]") from error

    local = name.removeprefix('local-dir:')
    with loading(name):
        model = timm.create_model(name, pretrained=True, num_classes=0)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    cfg = model.pretrained_cfg
    hub = cfg.get('hf_hub_id') or cfg.get('url') or name
    revision = revision_of(local, lambda: None) if local != name else f"{hub}@{cfg.get('tag', '')}"
    spec = {'encoder': 'timm', 'model': Path(local).name, 'revision': revision, 'preprocessing': _words(transform)}
    return PictureEncoder(model, transform, spec, **options)


def transformers_encoder(path: str, revision: str | None = None, **options) -> PictureEncoder:
    r"""A vision model of transformers: its pooler's output, or the mean of its last hidden states.

    Args:
        path: Such as ``"microsoft/resnet-152"``, or a local folder.
        revision: Branch, tag or commit on the hub.
        **options: ``batch_size`` and ``device``; see :class:`PictureEncoder`.
    """
    from transformers import AutoImageProcessor, AutoModel

    with loading(path):
        model = AutoModel.from_pretrained(path, revision=revision or 'main', dtype=torch.float32)
        processor = AutoImageProcessor.from_pretrained(path, revision=revision or 'main')
    spec = {'encoder': 'transformers', 'model': Path(path).name if Path(path).is_dir() else path,
            'revision': revision_of(path, lambda: model), 'preprocessing': processor.to_json_string()}
    return PictureEncoder(_TransformersPooled(model),
                          lambda image: processor(image, return_tensors='pt')['pixel_values'][0], spec, **options)


class _TransformersPooled(nn.Module):
    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        output = self.model(pixel_values=pixels)
        pooled = getattr(output, 'pooler_output', None)
        if pooled is None:
            hidden = output.last_hidden_state                    # [B, T, F], or [B, F, H, W] of a convolutional net
            pooled = hidden.flatten(2).mean(-1) if hidden.dim() == 4 else hidden.mean(1)
        return pooled.flatten(1)                                 # ResNet's pooler keeps [B, F, 1, 1]


LOADERS = {'torchvision': torchvision_encoder, 'timm': timm_encoder, 'transformers': transformers_encoder}


def load_backbone(name: str, **options) -> RowEncoder:
    r"""A picture encoder by one string: ``"torchvision:resnet152"``, ``"timm:NAME"``, ``"transformers:PATH"``.

    Raises:
        ValueError: If there is no such library.
    """
    library, _, model = name.partition(':')
    if library not in LOADERS or not model:
        raise ValueError(f"A backbone is named LIBRARY:MODEL with one of {', '.join(LOADERS)}; got '{name}'")
    return LOADERS[library](model, **options)


def _words(transform) -> str:
    """A transform as text, for the manifest."""
    return ' '.join(repr(transform).split())
