from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from drin_pyg.files import content_key, digest_file

WEIGHTS = ('*.safetensors', '*.bin', '*.pt', '*.pth')


@contextmanager
def loading(model: str) -> Iterator[None]:
    r"""Says what to do when a model cannot be loaded: hubs fail in many ways, none of which names the remedy.

    Raises:
        OSError: Instead of whatever was raised inside.
    """
    try:
        yield
    except ImportError:
        raise
    except Exception as error:
        raise OSError(f"The model '{model}' cannot be loaded: it is downloaded on first use, and without a network it "
                      f"must be given as a local path. ({type(error).__name__}: {error!s:.300})") from error


def revision_of(path: str, load: Callable) -> str:
    r"""What tells a model's weights from all others.

    Args:
        path: A folder or file with weights, or a name on a hub.
        load: Loads the model; called for a hub's model only, whose configuration then holds the
            commit that was loaded.

    Returns:
        ``"sha256:..."`` of local weights; a hub's commit, or the name where the hub gives none.

    Raises:
        FileNotFoundError: If a folder holds no weights.
    """
    place = Path(path)
    if place.is_file():
        return f'sha256:{_digest(place, place.stat().st_mtime_ns)}'
    if place.is_dir():
        files = sorted(file for pattern in WEIGHTS for file in place.glob(pattern))
        if not files:
            raise FileNotFoundError(f"'{place}' holds no weights ({', '.join(WEIGHTS)})")
        return f'sha256:{content_key(_digest(file, file.stat().st_mtime_ns) for file in files)}'
    config = getattr(load(), 'config', None)
    return getattr(config, '_commit_hash', None) or path


@lru_cache(maxsize=64)
def _digest(path: Path, changed: int) -> str:
    """Digest of a file, remembered until it changes."""
    return digest_file(path)
