r"""Data sets of mentions, entities, candidates and images: raw records, no tensors."""

from drin_pyg.datasets.convert import convert, write_mel_folder
from drin_pyg.datasets.describe import Description, describe
from drin_pyg.datasets.drin_preprocessed import DRINPreprocessed
from drin_pyg.datasets.emoji_mel import EmojiMEL
from drin_pyg.datasets.entity_lines import EntityLines
from drin_pyg.datasets.findings import Findings
from drin_pyg.datasets.knowledge_base import EntityList, KnowledgeBase
from drin_pyg.datasets.mel_dataset import MELDataset, draw_split
from drin_pyg.datasets.mel_folder import MELFolder
from drin_pyg.datasets.open_dataset import open_dataset
from drin_pyg.datasets.picture import Picture, PictureError
from drin_pyg.datasets.records import Entity, Mention, find_span
from drin_pyg.datasets.richpedia_mel import RichpediaMEL
from drin_pyg.datasets.wikidiverse import WikiDiverse
from drin_pyg.datasets.wikimel import WikiMEL
from drin_pyg.datasets.wikimel_text import WikiMELText

__all__ = [
    'DRINPreprocessed',
    'Description',
    'EmojiMEL',
    'Entity',
    'EntityLines',
    'EntityList',
    'Findings',
    'KnowledgeBase',
    'MELDataset',
    'MELFolder',
    'Mention',
    'Picture',
    'PictureError',
    'RichpediaMEL',
    'WikiDiverse',
    'WikiMEL',
    'WikiMELText',
    'convert',
    'describe',
    'draw_split',
    'find_span',
    'open_dataset',
    'write_mel_folder',
]
