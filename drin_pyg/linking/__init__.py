r"""Linking against a knowledge base: mention in, ranked candidates with their relation weights out."""

from drin_pyg.linking.linker import LinkedCandidate, Linker, format_links, pair_weights

__all__ = ['LinkedCandidate', 'Linker', 'format_links', 'pair_weights']
