r"""What mentions of different splits may have in common."""

import re
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass

from drin_pyg.datasets import Mention
from drin_pyg.datasets.records import plain
from drin_pyg.evaluation.audit_pictures import Fingerprints

# What two mentions may share: key, and how a table calls it.
KINDS = {
    'sentence': 'sentence (case and space aside)',
    'words': 'words (order and punctuation aside)',
    'image': 'picture, same pixels',
    'near_image': 'picture, looks alike',
    'sentence_and_image': 'sentence and picture of one mention',
    'answer': 'answer',
    'surface_and_answer': 'mention and answer',
}
OF_PICTURES = ('image', 'near_image', 'sentence_and_image')
# Which split is judged against which: what is measured on the first was chosen or fitted on the second.
COMPARED = (('test', 'train'), ('val', 'train'), ('test', 'val'))
NUM_EXAMPLES = 5


def keys_of(mention: Mention, kind: str, prints: Fingerprints) -> Collection[Hashable]:
    r"""The keys of a kind: mentions with a key in common share that (for ``"near_image"``, with a key near one).

    An empty sentence, a picture that cannot be opened and an answer that is not known are no keys.
    """
    match kind:
        case 'sentence':
            return [sentence] if (sentence := plain(mention.sentence)) else []
        case 'words':
            words = sorted(re.findall(r'\w+', plain(mention.sentence)))
            return [' '.join(words)] if words else []
        case 'image':
            return prints.pixels_of(mention)
        case 'near_image':
            return prints.looks_of(mention)
        case 'sentence_and_image':
            return [(sentence, pixels) for sentence in keys_of(mention, 'sentence', prints)
                    for pixels in prints.pixels_of(mention)]
        case 'answer':
            return [] if mention.answer is None else [mention.answer]
        case 'surface_and_answer':
            return [] if mention.answer is None else [(plain(mention.surface), mention.answer)]
    raise ValueError(f"Unknown kind '{kind}'; known are {', '.join(KINDS)}")


@dataclass(frozen=True)
class Overlap:
    r"""What a split shares with another.

    Args:
        count: How many mentions of the split share it.
        examples: Ids of the first of them, each with that of a mention of the other split.
    """

    count: int
    examples: list[tuple[str, str]]


def find_overlaps(mentions: Sequence[Mention], prints: Fingerprints) -> dict[tuple[str, str], dict[str, Overlap]]:
    r"""How many mentions of one split share something with another.

    Returns:
        ``(split, other)``, of those in :data:`COMPARED` that are both there, to what ``split``
        shares with ``other`` of each kind that can be looked at.
    """
    of_split: dict[str, list[Mention]] = {}
    for mention in mentions:
        of_split.setdefault(mention.split, []).append(mention)
    pairs = [pair for pair in COMPARED if set(pair) <= set(of_split)]
    unseen = set() if prints.pixels else set(OF_PICTURES)
    unseen |= {'near_image'} if prints.distance is None else set()
    return {(split, other): {kind: _overlap(of_split[split], of_split[other], kind, prints)
                             for kind in KINDS if kind not in unseen} for split, other in pairs}


def _overlap(mentions: Sequence[Mention], others: Sequence[Mention], kind: str, prints: Fingerprints) -> Overlap:
    owner: dict[Hashable, str] = {}
    for other in others:
        for key in keys_of(other, kind, prints):
            owner.setdefault(key, other.id)
    count, examples = 0, []
    for mention in mentions:
        keys = keys_of(mention, kind, prints)
        if kind == 'near_image':
            keys = prints.alike(keys)
        if (found := min((owner[key] for key in keys if key in owner), default=None)) is not None:
            count += 1
            if len(examples) < NUM_EXAMPLES:
                examples.append((mention.id, found))
    return Overlap(count, examples)
