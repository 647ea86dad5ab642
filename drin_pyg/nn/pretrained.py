import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from drin_pyg.files import SHA256, check_format, own_file, stored_key, tensor_key, to_json, write_atomic

FORMAT = 1
CONFIG, WEIGHTS, CARD = 'config.json', 'model.safetensors', 'README.md'
REPO_ID = re.compile(r'\w[\w.-]*/\w[\w.-]*')  # 'user/name'; the hub checks it closely
HUB_MISSING = "Models of the hub need huggingface_hub, which is not installed; run `pip install huggingface_hub`"


class PretrainedMixin:
    r"""Saves a model as ``config.json`` (its constructor arguments) and ``model.safetensors``, here or on a hub.

    A class that uses it stores every constructor argument under its own name and lists their
    JSON form in ``config()``, which ``from_config`` reads back.

    The names are those of :class:`huggingface_hub.ModelHubMixin`, and so are the files. It is no base class here: it
    would be loaded with the package, and save the arguments of a lazy model before its widths are known. Neither
    file can run code.
    """

    def save_pretrained(self, folder: str | Path, *, card: str | None = None) -> Path:
        r"""Writes the model into ``folder`` (made if need be), each file under a temporary name first.

        Args:
            folder: Where to.
            card: Text of ``README.md``, such as :func:`~drin_pyg.training.model_card` gives it; None leaves one
                that is there as it is.

        Returns:
            The folder.
        """
        from safetensors.torch import save

        folder = Path(folder)
        state = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        config = {'format': FORMAT, 'class': type(self).__name__, **self.config()}
        key = tensor_key(state, to_json(self.config()))  # of both files, in the one that is written last
        write_atomic(folder / CONFIG, json.dumps(config, indent=2).encode() + b'\n')
        write_atomic(folder / WEIGHTS, save(state, {SHA256: key}))
        if card is not None:
            write_atomic(folder / CARD, card.encode())
        return folder

    def push_to_hub(self, repo_id: str, *, card: str | None = None, private: bool | None = None,
                    branch: str | None = None, token: str | None = None,
                    commit_message: str = 'Upload model') -> str:
        r"""Uploads the model to a hub, in one commit; the repository is made if need be.

        Args:
            repo_id: ``"user/name"``.
            card: Text of ``README.md``; None leaves the one that is there.
            private: Whether a new repository is private; None for the owner's default.
            branch: Where to commit; None for ``main``.
            token: Access token; None for the one that ``hf auth login`` stored.
            commit_message: What the commit says.

        Returns:
            Address of the commit.

        Raises:
            ImportError: If huggingface_hub is missing.
            OSError: If the hub refuses, or cannot be reached.
        """
        try:
            from huggingface_hub import HfApi
        except ImportError as error:
            raise ImportError(HUB_MISSING) from error

        api = HfApi(token=token)
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder, card=card)  # before anything is made there: it may fail
            repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
            return api.upload_folder(repo_id=repo_id, folder_path=folder, revision=branch,
                                     commit_message=commit_message)

    @classmethod
    def from_pretrained(cls, folder: str | Path, revision: str | None = None, *, token: str | None = None):
        r"""Reads a model that :meth:`save_pretrained` or :meth:`push_to_hub` wrote: in its dtype, ready to evaluate.

        Args:
            folder: Where from: a folder, or ``"user/name"`` on the hub if there is no such folder.
            revision: Branch, tag or commit on the hub; None for the newest. A commit never changes.
            token: Access token; None for the one that ``hf auth login`` stored.

        Raises:
            FileNotFoundError: If the folder holds no model, or neither a folder nor the hub has one of this name.
            ImportError: If the model is on the hub and huggingface_hub is missing.
            ValueError: If the files are damaged or belong to another class, or a folder is to have a revision.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        if isinstance(folder, str) and REPO_ID.fullmatch(folder) and not Path(folder).exists():
            name, folder = folder, _download(folder, revision, token)
        elif revision is not None:
            raise ValueError(f"'{folder}' is a folder, but 'revision' is of models on a hub; leave it out")
        else:
            name = folder = Path(folder)
        for file in (CONFIG, WEIGHTS):
            if not (folder / file).is_file():
                raise FileNotFoundError(f"'{name}' holds no saved {cls.__name__}: '{file}' is missing")
        try:
            config, weights = (own_file(folder, file) for file in (CONFIG, WEIGHTS))
            config = json.loads(config.read_text(encoding='utf-8'))
            if not isinstance(config, dict):
                raise ValueError(f"'{CONFIG}' holds no JSON object")
            check_format(config.pop('format', 1), FORMAT)  # the first version wrote none
            found = config.pop('class', None)
            if found != cls.__name__:
                raise ValueError(f"it was saved as {found!r}")
            state = load_file(weights)
            cls._check_sizes(config, state)
            model = cls.from_config(config).to(next(iter(state.values())).dtype)
            model.load_state_dict(state)
            if stored_key(weights) not in (None, tensor_key(state, to_json(config))):
                raise ValueError(f"'{CONFIG}' or '{WEIGHTS}' is not what was saved: damaged, or changed by hand; copy "
                                 f"or train the model again")
            if broken := [key for key, value in state.items() if not bool(value.isfinite().all())]:
                raise ValueError(f"'{broken[0]}' holds NaN or infinite values")
        # What a file from a stranger says reaches constructors as it is, of whatever kind; RecursionError comes of JSON
        # that is nested too deeply.
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError, StopIteration,
                SafetensorError) as error:
            raise ValueError(f"'{name}' holds no {cls.__name__} that can be read: {str(error)[:1000]}") from error
        return model.eval()

    @classmethod
    def _check_sizes(cls, config: dict, state: dict) -> None:
        """Refuses a configuration that asks for other parameters than are there, before memory is taken for them."""
        layers = config.get('num_layers', 0)
        if not isinstance(layers, int) or layers > len(state):  # each has a parameter at least
            raise ValueError(f"'num_layers' is {layers!r:.40}, but there are {len(state)} parameters")
        with torch.device('meta'):
            claimed = cls.from_config(config).state_dict()
        for name, value in claimed.items():
            if name not in state:
                raise ValueError(f"'{name}' is missing")
            if not torch.nn.parameter.is_lazy(value) and value.shape != state[name].shape:
                raise ValueError(f"'{name}' is {list(state[name].shape)}, and {list(value.shape)} by '{CONFIG}'")


def _download(repo_id: str, revision: str | None, token: str | None) -> Path:
    """The hub's copy of a model on disk. Both files come from one commit, even if another is made meanwhile."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ImportError(f"There is no folder '{repo_id}'. {HUB_MISSING}") from error
    try:
        return Path(snapshot_download(repo_id, revision=revision, token=token, allow_patterns=[CONFIG, WEIGHTS]))
    except (OSError, ValueError) as error:
        at = f" at revision '{revision}'" if revision is not None else ''
        raise FileNotFoundError(f"There is no folder '{repo_id}', and no model of this name{at} could be had from the "
                                f"hub: {error}") from error
