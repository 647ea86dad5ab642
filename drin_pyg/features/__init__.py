r"""Frozen encoders and what they produce: feature tables and candidate lists for the graphs."""

from drin_pyg.features.candidates import NIL, Candidates
from drin_pyg.features.offline import OfflineFeatures
from drin_pyg.features.pair_tables import PairTables
from drin_pyg.features.picture_descriptors import describe_pictures
from drin_pyg.features.preprocessed import preprocessed_tables
from drin_pyg.features.text_encoder import TextEncoder

__all__ = [
    'NIL',
    'Candidates',
    'OfflineFeatures',
    'PairTables',
    'TextEncoder',
    'describe_pictures',
    'preprocessed_tables',
]
