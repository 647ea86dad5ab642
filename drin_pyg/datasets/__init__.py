r"""Data sets of mentions, entities, candidates and images: raw records, no tensors."""

from drin_pyg.datasets.emoji_mel import EmojiMEL
from drin_pyg.datasets.records import Entity, Mention, Picture

__all__ = ['EmojiMEL', 'Entity', 'Mention', 'Picture']
