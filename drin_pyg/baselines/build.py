r"""The trainable baselines by name."""

from collections.abc import Callable

from drin_pyg.baselines.baseline import Baseline
from drin_pyg.baselines.ghmfc import GHMFC
from drin_pyg.baselines.melhi import MELHI
from drin_pyg.baselines.pair_network import PairNetwork
from drin_pyg.baselines.single_space import SingleSpace


def _text_only(hidden_channels: int = 128) -> SingleSpace:
    return SingleSpace(hidden_channels, ('text', ))


def _image_only(hidden_channels: int = 128) -> SingleSpace:
    return SingleSpace(hidden_channels, ('image', ))


#: Name to what builds the model.
BASELINES: dict[str, Callable[..., Baseline]] = {
    'text_only': _text_only,
    'image_only': _image_only,
    'single_space': SingleSpace,
    'pair_network': PairNetwork,
    'ghmfc': GHMFC,
    'melhi': MELHI,
}


def build_baseline(name: str, **options) -> Baseline:
    r"""An untrained baseline.

    Args:
        name: A name of :data:`BASELINES`.
        **options: Arguments of its class, such as ``hidden_channels``.

    Raises:
        ValueError: If there is no such baseline.
    """
    _check(name)
    return BASELINES[name](**options)


def needs_sequences(name: str) -> bool:
    r"""Whether a baseline reads tokens and regions, which :class:`AddSequences` adds to its batches.

    Raises:
        ValueError: If there is no such baseline.
    """
    _check(name)
    return BASELINES[name] in (GHMFC, MELHI)


def _check(name: str) -> None:
    if name not in BASELINES:
        raise ValueError(f"There is no baseline '{name}'; there are {', '.join(BASELINES)}")
