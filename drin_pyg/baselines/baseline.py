import inspect

from drin_pyg.nn import BatchScorer
from drin_pyg.nn.pretrained import PretrainedMixin


class Baseline(PretrainedMixin, BatchScorer):
    r"""A trainable baseline: scores batches, and is saved as its constructor's arguments and its parameters.

    Widths of features are inferred in the first forward pass, or taken from saved parameters.
    """

    def config(self) -> dict:
        r"""The constructor's arguments in JSON form; each is stored under its own name."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    @classmethod
    def from_config(cls, config: dict) -> 'Baseline':
        r"""Builds the model that :meth:`config` described, with fresh parameters."""
        return cls(**config)
