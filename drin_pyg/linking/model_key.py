import torch

from drin_pyg.files import content_key, to_json
from drin_pyg.nn import DRIN


def model_key(model: DRIN) -> str:
    r"""SHA-256 over a model's configuration and parameters."""
    parts = [to_json(model.config())]
    for name, value in sorted(model.state_dict().items()):
        value = value.detach().cpu().contiguous()
        parts += [name, str(value.dtype), value.flatten().view(torch.uint8).numpy().tobytes()]
    return content_key(parts)
