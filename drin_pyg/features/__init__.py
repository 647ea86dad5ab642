r"""Frozen encoders and what they produce: feature tables and candidate lists for the graphs."""

from drin_pyg.features.candidates import NIL, Candidates
from drin_pyg.features.clip import ClipFeatures
from drin_pyg.features.clip_encoder import ClipModel
from drin_pyg.features.encode_rows import EncodedRows, Encoding, encode_rows
from drin_pyg.features.feature_table import FeatureTable
from drin_pyg.features.learned_weights import LearnedWeights
from drin_pyg.features.mel_data import MELData, encode
from drin_pyg.features.object_encoder import ObjectEncoder
from drin_pyg.features.offline import OfflineFeatures
from drin_pyg.features.pair_features import PairFeatures
from drin_pyg.features.pair_tables import PairTables
from drin_pyg.features.paper import PaperFeatures
from drin_pyg.features.picture_descriptors import DescriptorEncoder, describe_pictures
from drin_pyg.features.picture_encoder import PictureEncoder, PictureEncoders
from drin_pyg.features.preprocessed import preprocessed_data, preprocessed_tables
from drin_pyg.features.preset import Preset
from drin_pyg.features.presets import make_preset
from drin_pyg.features.row_encoder import RowEncoder
from drin_pyg.features.sequences import Sequences, token_sequences
from drin_pyg.features.side_tables import SideTables, pair_tables, side_tables
from drin_pyg.features.swap_images import swap_images
from drin_pyg.features.tables_folder import check_tables, encode_folder, load_tables, save_tables
from drin_pyg.features.tables_summary import TablesSummary
from drin_pyg.features.text import TextFeatures
from drin_pyg.features.text_encoder import TextEncoder

__all__ = [
    'NIL',
    'Candidates',
    'ClipFeatures',
    'ClipModel',
    'DescriptorEncoder',
    'EncodedRows',
    'Encoding',
    'FeatureTable',
    'LearnedWeights',
    'MELData',
    'ObjectEncoder',
    'OfflineFeatures',
    'PairFeatures',
    'PairTables',
    'PaperFeatures',
    'PictureEncoder',
    'PictureEncoders',
    'Preset',
    'RowEncoder',
    'Sequences',
    'SideTables',
    'TablesSummary',
    'TextEncoder',
    'TextFeatures',
    'check_tables',
    'describe_pictures',
    'encode',
    'encode_folder',
    'encode_rows',
    'load_tables',
    'make_preset',
    'pair_tables',
    'preprocessed_data',
    'preprocessed_tables',
    'save_tables',
    'side_tables',
    'swap_images',
    'token_sequences',
]
