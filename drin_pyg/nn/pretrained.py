import json
from pathlib import Path

from drin_pyg.files import write_atomic

CONFIG, WEIGHTS = 'config.json', 'model.safetensors'


class PretrainedMixin:
    r"""Saves a model as ``config.json`` (its constructor arguments) and ``model.safetensors``.

    A class that uses it stores every constructor argument under its own name and lists their
    JSON form in ``config()``, which ``from_config`` reads back.
    """

    def save_pretrained(self, folder: str | Path) -> Path:
        r"""Writes the model into ``folder`` (made if need be), each file under a temporary name first.

        Args:
            folder: Where to.

        Returns:
            The folder.
        """
        from safetensors.torch import save

        folder = Path(folder)
        state = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        config = {'class': type(self).__name__, **self.config()}
        write_atomic(folder / CONFIG, json.dumps(config, indent=2).encode() + b'\n')
        write_atomic(folder / WEIGHTS, save(state))
        return folder

    @classmethod
    def from_pretrained(cls, folder: str | Path):
        r"""Reads a model that :meth:`save_pretrained` wrote, in its dtype and in evaluation mode.

        Args:
            folder: Where from.

        Raises:
            FileNotFoundError: If the folder holds no model.
            ValueError: If the files are damaged or belong to another class.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        folder = Path(folder)
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"'{folder}' holds no saved {cls.__name__}: '{name}' is missing")
        try:
            config = json.loads((folder / CONFIG).read_text(encoding='utf-8'))
            if not isinstance(config, dict):
                raise ValueError(f"'{CONFIG}' holds no JSON object")
            found = config.pop('class', None)
            if found != cls.__name__:
                raise ValueError(f"it was saved as {found!r}")
            state = load_file(folder / WEIGHTS)
            model = cls.from_config(config).to(next(iter(state.values())).dtype)
            model.load_state_dict(state)
        except (ValueError, TypeError, KeyError, RuntimeError, StopIteration, SafetensorError) as error:
            raise ValueError(f"'{folder}' holds no {cls.__name__} that can be read: {error}") from error
        return model.eval()
