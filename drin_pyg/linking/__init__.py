r"""Linking: retrieval of candidates, and a trained model with its knowledge base."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drin_pyg.linking.linker import LinkedCandidate, Linker, format_links, pair_weights
    from drin_pyg.linking.retrieval import format_recall, retrieve

__all__ = ['LinkedCandidate', 'Linker', 'format_links', 'format_recall', 'pair_weights', 'retrieve']

# A linker needs Lightning, which takes seconds to import; retrieval does not.
_HOME = {**dict.fromkeys(['LinkedCandidate', 'Linker', 'format_links', 'pair_weights'], 'linker'),
         **dict.fromkeys(['format_recall', 'retrieve'], 'retrieval')}


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f'{__name__}.{_HOME[name]}'), name)
