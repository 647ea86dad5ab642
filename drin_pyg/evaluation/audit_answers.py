r"""How much of an answer is given away by names, pictures and the order of candidates."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from drin_pyg.datasets import Entity, Mention
from drin_pyg.datasets.records import plain
from drin_pyg.evaluation.audit_pictures import Fingerprints


@dataclass
class AnswerFigures:
    r"""Counts of the mentions of a split.

    Args:
        mentions: All of them.
        answered: Those whose answer is known, and not NIL.
        unknown_answer: Of these, those whose answer is not in the knowledge base.
        no_candidates: Mentions without candidates.
        listed: Answered mentions with candidates.
        answer_outside: Of these, those whose answer is none of them.
        surface_is_name: Answered mentions whose words are the name of the answer, case and space aside.
        name_decides: Listed mentions where the answer is the only candidate of that name.
        name_misleads: Listed mentions where the only candidate of that name is wrong.
        pictured: Answered mentions with a picture that can be opened.
        answer_image: Of these, those with a picture whose pixels are those of a picture of the answer.
        wrong_image: Those with a picture whose pixels are those of a wrong candidate's.
        answer_near_image: As ``answer_image``, of pictures that look alike.
        wrong_near_image: As ``wrong_image``, of pictures that look alike.
        choices: Mentions with two candidates or more, the answer among them.
        first: Of these, those whose answer comes first.
        last: Those whose answer comes last.
        expected: How often a place would be the answer's if the order were drawn.
        variance: Variance of that number.
    """

    mentions: int = 0
    answered: int = 0
    unknown_answer: int = 0
    no_candidates: int = 0
    listed: int = 0
    answer_outside: int = 0
    surface_is_name: int = 0
    name_decides: int = 0
    name_misleads: int = 0
    pictured: int = 0
    answer_image: int = 0
    wrong_image: int = 0
    answer_near_image: int = 0
    wrong_near_image: int = 0
    choices: int = 0
    first: int = 0
    last: int = 0
    expected: float = 0.0
    variance: float = 0.0

    def to_dict(self) -> dict[str, float]:
        """The figures by name."""
        return asdict(self)


def answer_figures(
    mentions: Sequence[Mention],
    entities: dict[str, Entity],
    prints: Fingerprints,
) -> dict[str, AnswerFigures]:
    r"""Figures of each split.

    Args:
        mentions: The mentions.
        entities: Their answers and candidates by id; an answer that is missing is not in the
            knowledge base.
        prints: Fingerprints of the pictures of both.
    """
    names = {id: plain(entity.name) for id, entity in entities.items()}
    pixels = {id: prints.pixels_of(entity) for id, entity in entities.items()}
    looks = {id: prints.looks_of(entity) for id, entity in entities.items()}
    of_split: dict[str, AnswerFigures] = {}
    for mention in mentions:
        figures = of_split.setdefault(mention.split, AnswerFigures())
        figures.mentions += 1
        figures.no_candidates += not mention.candidates
        if mention.answer is None:
            continue
        answer, wrong = mention.answer, [id for id in mention.candidates if id != mention.answer]
        figures.answered += 1
        figures.unknown_answer += answer not in entities
        _count_names(figures, mention, names)
        _count_order(figures, mention)
        own, own_looks = prints.pixels_of(mention), prints.alike(prints.looks_of(mention))
        figures.pictured += bool(own)
        figures.answer_image += not own.isdisjoint(pixels.get(answer, ()))
        figures.wrong_image += any(not own.isdisjoint(pixels[id]) for id in wrong)
        figures.answer_near_image += not own_looks.isdisjoint(looks.get(answer, ()))
        figures.wrong_near_image += any(not own_looks.isdisjoint(looks[id]) for id in wrong)
    return of_split


def _count_names(figures: AnswerFigures, mention: Mention, names: dict[str, str]) -> None:
    surface = plain(mention.surface)
    figures.surface_is_name += names.get(mention.answer) == surface
    named = [id for id in mention.candidates if names[id] == surface]
    figures.name_decides += named == [mention.answer]
    figures.name_misleads += len(named) == 1 and named != [mention.answer]


def _count_order(figures: AnswerFigures, mention: Mention) -> None:
    candidates = mention.candidates
    figures.listed += bool(candidates)
    figures.answer_outside += bool(candidates) and mention.answer not in candidates
    if len(candidates) > 1 and mention.answer in candidates:
        chance = 1 / len(candidates)
        figures.choices += 1
        figures.first += candidates[0] == mention.answer
        figures.last += candidates[-1] == mention.answer
        figures.expected += chance
        figures.variance += chance * (1 - chance)
