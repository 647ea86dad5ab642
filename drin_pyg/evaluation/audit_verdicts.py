r"""What the figures of an audit mean, and what to do about it."""

import math
from dataclasses import dataclass
from typing import Literal

from drin_pyg.evaluation.audit_answers import AnswerFigures
from drin_pyg.evaluation.audit_keys import Overlap

Level = Literal['ok', 'note', 'leak']
MANY_DEVIATIONS = 4.0  # by chance once in 30,000 times
NEARLY_ALL = 0.99

# Kind of overlap: level if there is any, what it is called, what it means and what helps.
OVERLAPS: dict[str, tuple[Level, str, str]] = {
    'sentence': ('leak', 'have a sentence that', "The text was seen in training or tuning; draw a split with "
                 "--split-out, or leave those mentions out."),
    'words': ('note', 'have the very words of a sentence that', "Look whether these are the same sentence; --bind "
              "words keeps them together."),
    'image': ('leak', 'have a picture that', "The picture was seen in training or tuning; draw a split with "
              "--split-out, or leave those mentions out."),
    'near_image': ('note', 'have a picture like one that', "Look whether they are the same photograph; --bind "
                   "near_image keeps them together, a smaller --distance is stricter."),
    'sentence_and_image': ('leak', 'have both sentence and picture of a mention that', "The context is a copy; draw a "
                           "split with --split-out."),
    'answer': ('note', 'have an answer that', "Report answers seen and unseen in training apart, or split by answer "
               "with --split-out."),
    'surface_and_answer': ('note', 'have the words and the answer of a mention that', "Words learned by heart answer "
                           "them; compare with a table from words to answers."),
}


@dataclass(frozen=True)
class Verdict:
    r"""A finding.

    Args:
        level: ``"ok"``; ``"note"``: to be known and reported; ``"leak"``: results are not what they seem.
        about: What it is about.
        text: What was found, what it means and what helps.
    """

    level: Level
    about: str
    text: str


def verdicts(
    overlaps: dict[tuple[str, str], dict[str, Overlap]],
    answers: dict[str, AnswerFigures],
    with_looks: bool = True,
) -> list[Verdict]:
    r"""One verdict for each thing looked at; what could not be looked at has none."""
    sizes = {split: figures.mentions for split, figures in answers.items()}
    found = [_overlap(kind, overlaps, sizes) for kind in OVERLAPS
             if any(kind in kinds for kinds in overlaps.values())]
    if not overlaps:
        found.append(Verdict('note', 'splits', "There are no two splits to compare; `--split-out` draws some without "
                                               "overlaps."))
    if any(figures.pictured for figures in answers.values()):
        found.append(_pictures(answers, 'image', 'leak', 'is'))
        if with_looks:
            found.append(_pictures(answers, 'near_image', 'note', 'looks like'))
    found.append(_names(answers))
    found += _candidates(answers)
    found += [_order(answers, place) for place in ('first', 'last') if any(f.choices for f in answers.values())]
    return found


def _share(count: float, base: int) -> str:
    return f'{count:,} ({count / base:.1%})'


def _each(answers: dict[str, AnswerFigures], name: str, base: str) -> str:
    """A figure of each split that has any, with its share."""
    return ', '.join(f'{split or "no split"} {_share(getattr(figures, name), getattr(figures, base))}'
                     for split, figures in answers.items() if getattr(figures, name))


def _overlap(kind: str, overlaps: dict[tuple[str, str], dict[str, Overlap]], sizes: dict[str, int]) -> Verdict:
    level, what, remedy = OVERLAPS[kind]
    some = {pair: kinds[kind] for pair, kinds in overlaps.items() if kinds[kind].count}
    if not some:
        return Verdict('ok', kind, f"No mentions {what} another split has, too.")
    shares = ', '.join(f'{_share(overlap.count, sizes[split])} of {split} against {other}'
                       for (split, other), overlap in some.items())
    (split, other), overlap = next(iter(some.items()))
    example = '{} and {}'.format(*overlap.examples[0])
    return Verdict(level, kind, f"Mentions {what} the other split has, too: {shares}; such as {example} ({split}, "
                                f"{other}). {remedy}")


def _pictures(answers: dict[str, AnswerFigures], kind: str, level: Level, verb: str) -> Verdict:
    right, wrong = (_each(answers, f'{whose}_{kind}', 'pictured') for whose in ('answer', 'wrong'))
    about = f'{kind} of the answer'
    against = f"It {verb} one of a wrong candidate's: {wrong or 'never'}."
    if not right:
        return Verdict('ok', about, f"No mention's picture {verb} one of its answer's. {against}")
    return Verdict(level, about, f"The mention's picture {verb} one of its answer's: {right}. {against} Comparing "
                                 f"pictures finds these answers without linking anything; take the picture from the "
                                 f"entity or the mention, or report these mentions apart.")


def _names(answers: dict[str, AnswerFigures]) -> Verdict:
    decides = _each(answers, 'name_decides', 'listed')
    if not decides:
        return Verdict('ok', 'name', "No answer is the only candidate named as the mention.")
    misleads = _each(answers, 'name_misleads', 'listed') or 'never'
    return Verdict('note', 'name', f"The answer is the only candidate named as the mention: {decides}; a wrong one is: "
                                   f"{misleads}. Comparing names scores that much; give it as a baseline.")


def _candidates(answers: dict[str, AnswerFigures]) -> list[Verdict]:
    found = []
    for name, base, none, some in (
        ('unknown_answer', 'answered', "All answers are in the knowledge base.",
         "Answers that are not in the knowledge base: {}. Nothing can find them; complete it, or count them as NIL."),
        ('no_candidates', 'mentions', "All mentions have candidates.",
         "Mentions without candidates: {}. They count as missed until `drin-pyg retrieve` gives them some."),
        ('answer_outside', 'listed', "All answers are among the candidates, where there are any.",
         "Answers outside the candidates: {}. No ranking finds them; give recall beside raw accuracy."),
    ):
        each = _each(answers, name, base)
        found.append(Verdict('note' if each else 'ok', name, some.format(each) if each else none))
    return found


def _order(answers: dict[str, AnswerFigures], place: Literal['first', 'last']) -> Verdict:
    """Whether the order of candidates tells the answer, against lists in an order drawn at random."""
    level: Level = 'ok'
    parts = []
    for split, figures in answers.items():
        if not figures.choices:
            continue
        count, base = getattr(figures, place), figures.choices
        parts.append(f'{split or "no split"} {_share(count, base)}, by chance {figures.expected / base:.1%}')
        unlikely = count - figures.expected > MANY_DEVIATIONS * math.sqrt(figures.variance)
        if unlikely and count >= NEARLY_ALL * base:
            level = 'leak'
        elif unlikely and level == 'ok':
            level = 'note'
    text = f"The answer is the {place} candidate: {'; '.join(parts)}."
    advice = {'ok': '', 'note': " The order, perhaps a retriever's, says something about the answer; give that place "
                                "as a baseline.",
              'leak': " The order gives the answer away; shuffle the lists before a model or a tie rule sees it."}
    return Verdict(level, f'answer {place}', text + advice[level])
