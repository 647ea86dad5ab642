r"""Linking: retrieval of candidates, and a trained model with its knowledge base."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drin_pyg.linking.calibrating import calibrate, evaluate_calibration, load_calibration
    from drin_pyg.linking.calibration import Calibration, format_calibration, format_figures
    from drin_pyg.linking.candidate_scorer import CandidateScorer, TopK, score_candidates
    from drin_pyg.linking.entity_index import EntityIndex
    from drin_pyg.linking.link import Link, format_link
    from drin_pyg.linking.link_error import LinkError
    from drin_pyg.linking.linked_candidate import LinkedCandidate
    from drin_pyg.linking.linker import Linker
    from drin_pyg.linking.retrieval import format_recall, retrieve
    from drin_pyg.linking.retriever import Retriever

# A linker needs Lightning, which takes seconds to import; retrieval does not.
_HOME = {
    **dict.fromkeys(['calibrate', 'evaluate_calibration', 'load_calibration'], 'calibrating'),
    **dict.fromkeys(['Calibration', 'format_calibration', 'format_figures'], 'calibration'),
    **dict.fromkeys(['CandidateScorer', 'TopK', 'score_candidates'], 'candidate_scorer'),
    'EntityIndex': 'entity_index',
    **dict.fromkeys(['Link', 'format_link'], 'link'),
    'LinkError': 'link_error',
    'LinkedCandidate': 'linked_candidate',
    'Linker': 'linker',
    **dict.fromkeys(['format_recall', 'retrieve'], 'retrieval'),
    'Retriever': 'retriever',
}

__all__ = [
    'Calibration',
    'CandidateScorer',
    'EntityIndex',
    'Link',
    'LinkError',
    'LinkedCandidate',
    'Linker',
    'Retriever',
    'TopK',
    'calibrate',
    'evaluate_calibration',
    'format_calibration',
    'format_figures',
    'format_link',
    'format_recall',
    'load_calibration',
    'retrieve',
    'score_candidates',
]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f'{__name__}.{_HOME[name]}'), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
