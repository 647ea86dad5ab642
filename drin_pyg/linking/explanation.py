r"""What explains a link: its relation weights, found where other diagnostics of a model are."""

from drin_pyg.evaluation.pair_weights import pair_weights

__all__ = ['pair_weights']
