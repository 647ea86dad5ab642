from drin_pyg.files import tensor_key, to_json
from drin_pyg.nn import DRIN


def model_key(model: DRIN) -> str:
    r"""SHA-256 over a model's configuration and parameters."""
    return tensor_key(model.state_dict(), to_json(model.config()))
