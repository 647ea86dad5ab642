from collections import Counter

# What a reader may meet, in the order it is shown: key, what it is, whether something could not be used as it stands.
KINDS = {
    'duplicate_entity': ('entities whose id was there before (the first counts)', True),
    'duplicate_mention': ('mentions whose id was there before (kept)', True),
    'unknown_candidate': ('candidates that are not in the knowledge base (left out)', True),
    'repeated_candidate': ('candidates that a list names twice (the first counts)', True),
    'unknown_answer': ('answers that are not in the knowledge base (count as never retrieved)', True),
    'several_answers': ('mentions with several answers (the first counts)', True),
    'not_in_sentence': ('mentions outside their sentence (the whole sentence stands in)', True),
    'wrong_span': ('mentions whose given offsets hold other words (found anew where possible)', True),
    'missing_picture': ('pictures that are not there', True),
    'bad_picture': ('pictures that cannot be decoded', True),
    'no_description': ('entities without description', False),
    'no_candidates': ('mentions without candidates', False),
    'nil': ('mentions that mean no entity (NIL)', False),
    'unanswered': ('mentions without an answer (to be linked)', False),
}
NUM_EXAMPLES = 5


class Findings:
    r"""What a reader found in its files that whoever uses them should know: counts, with examples.

    ``findings.add(kind, name)`` notes one; kinds are those of :data:`KINDS`.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def add(self, kind: str, name: str, count: int = 1) -> None:
        """Notes ``count`` findings of a kind, ``name`` being an example."""
        if kind not in KINDS:
            raise KeyError(f"Unknown kind of finding '{kind}'; known are {', '.join(KINDS)}")
        self.counts[kind] += count
        examples = self.examples.setdefault(kind, [])
        if len(examples) < NUM_EXAMPLES:
            examples.append(name)

    def copy(self) -> 'Findings':
        """Findings of their own, to which more can be added."""
        other = Findings()
        other.counts = self.counts.copy()
        other.examples = {kind: list(examples) for kind, examples in self.examples.items()}
        return other

    @property
    def unusable(self) -> int:
        """How many findings are of kinds where something could not be used as it stands."""
        return sum(count for kind, count in self.counts.items() if KINDS[kind][1])

    def to_dict(self) -> dict[str, dict]:
        """Kind to ``{count, examples}``, for JSON; only what was found."""
        return {kind: {'count': self.counts[kind], 'examples': self.examples[kind]} for kind in KINDS
                if self.counts[kind]}

    def format(self) -> str:
        """One line a kind, with examples."""
        lines = []
        for kind, (text, unusable) in KINDS.items():
            if self.counts[kind]:
                more = ', ...' if self.counts[kind] > len(self.examples[kind]) else ''
                mark = '!' if unusable else ' '
                names = ', '.join(map(_printable, self.examples[kind]))
                lines.append(f"{mark} {self.counts[kind]:>9,} {text}: {names}{more}")
        return '\n'.join(lines)


def _printable(name: str) -> str:
    """A name from a file, safe for a terminal: control characters and halves of surrogate pairs are escaped."""
    return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in name)
