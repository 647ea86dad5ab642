r"""Records as HTML: all text is escaped, pictures are inside."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from drin_pyg.datasets import Mention, Picture, PictureError
from drin_pyg.demo.page_parts import depth_label, first_picture, relation_label
from drin_pyg.explore.records import Judged, RankedCandidate, Ranking
from drin_pyg.files import utf8
from drin_pyg.vocabulary import ENTITY_IMAGE, MENTION_IMAGE, RELATIONS

SHOWN = 12     # candidates
PAGE_SIZE = 12  # mentions of the data

# The graph: where the four vertices stand (mention left, texts above), and what an edge of weight 1 is drawn with.
LEFT, RIGHT, TEXT_Y, IMAGE_Y = 74, 346, 58, 192
WIDEST = 11


def ranking_html(ranking: Ranking, picked: int) -> str:
    r"""The decision, and the best candidates as buttons that carry ``data-pick``, their number among the pairs.

    Args:
        ranking: The ranking.
        picked: The pair whose graph is shown.
    """
    shown = ranking.candidates[:SHOWN]
    # The answer is what one looks for, wherever it came to stand.
    shown += [candidate for candidate in ranking.candidates[SHOWN:] if candidate.is_answer]
    cards = [{
        'candidate': candidate,
        'entity': candidate.linked.entity,
        'picture': _picture(candidate.linked.entity.pictures),
        'moved': candidate.place_before - candidate.place,
    } for candidate in shown]
    return _render('ranking.html', ranking=ranking, best=shown[0] if shown else None, picked=picked, cards=cards,
                   num_best=SHOWN)


def graph_html(ranking: Ranking, picked: int, strength: dict[str, float]) -> str:
    r"""The graph of one pair at every depth, and what each relation adds to its lead over the strongest rival.

    Args:
        ranking: The ranking.
        picked: The pair.
        strength: Relation name to how much it counts.
    """
    if not ranking.candidates:
        return ''
    candidate = next(c for c in ranking.candidates if c.pair == picked)
    rival = next((c for c in ranking.candidates if c.pair != picked), None)
    num_depths = len(next(iter(candidate.linked.weights.values())))
    return _render(
        'graph.html',
        name=candidate.linked.entity.name,
        rival=None if rival is None else rival.linked.entity.name,
        surface=ranking.mention.surface,
        pictures={'mention': _picture(ranking.mention.pictures), 'entity': _picture(candidate.linked.entity.pictures)},
        xs=(LEFT, RIGHT), ys=(TEXT_Y, IMAGE_Y),
        graphs=[{'depth': depth_label(depth), 'edges': [_edge(name, depth, candidate, rival, strength)
                                                        for name in candidate.linked.weights]}
                for depth in range(num_depths)],
        lead=None if rival is None else _lead(candidate, rival))


def _edge(name: str, depth: int, candidate: RankedCandidate, rival: RankedCandidate | None,
          strength: dict[str, float]) -> dict:
    """One relation at one depth as a line with a number near the mention's end."""
    src, _, dst = RELATIONS[name]
    ends = [(LEFT, IMAGE_Y if src == MENTION_IMAGE else TEXT_Y), (RIGHT, IMAGE_Y if dst == ENTITY_IMAGE else TEXT_Y)]
    level = ends[0][1] == ends[1][1]
    along = 0.5 if level else 0.3  # the two that cross have their numbers where they do not meet
    (x1, y1), (x2, y2) = ends

    def seen(of: RankedCandidate | None) -> float | None:
        weight = None if of is None else of.linked.weights[name][depth]
        # What enters a layer was multiplied already; what leaves the last one is as it is read.
        last = depth and depth == len(of.linked.weights[name]) - 1 if of is not None else False
        return weight if weight is None or not last else weight * strength.get(name, 1)

    weight, other = seen(candidate), seen(rival)
    size = min(max(abs(weight or 0), 0), 1)
    return {'label': relation_label(name), 'weight': weight, 'rival': other,
            'x1': x1, 'y1': y1, 'x2': x2, 'y2': y2, 'x': x1 + along * (x2 - x1), 'y': y1 + along * (y2 - y1),
            'width': 1 + (WIDEST - 1) * size, 'opacity': 0.15 + 0.8 * size, 'kind': 'same' if level else 'cross'}


def _lead(candidate: RankedCandidate, rival: RankedCandidate) -> dict:
    """Bars of what each relation adds to the lead, in percent of the widest one's half."""
    parts = {name: value - rival.terms[name] for name, value in candidate.terms.items()}
    widest = max(1e-9, *(abs(value) for value in parts.values()))
    bars = [{'label': relation_label(name), 'value': value, 'length': 50 * abs(value) / widest}
            for name, value in parts.items()]
    return {'bars': bars, 'total': candidate.linked.score - rival.linked.score,
            'adds_up': abs(sum(parts.values()) - candidate.linked.score + rival.linked.score) < 1e-3}


def mentions_html(found: Sequence[Judged], data, page: int = 0) -> str:
    r"""A page of mentions with their answer and what was chosen, as buttons that carry ``data-pick``, their row.

    Args:
        found: The mentions.
        data: The :class:`~drin_pyg.features.MELData` they belong to.
        page: Which page, from 0.
    """
    cards = []
    for judged in found[PAGE_SIZE * page:PAGE_SIZE * (page + 1)]:
        mention = data.mentions[judged.row]
        chosen, answer = (None if row is None else data.entities[row] for row in (judged.chosen, judged.answer))
        cards.append({'judged': judged, 'surface': mention.surface, 'parts': marked(mention),
                      'picture': _picture(mention.pictures), 'chosen': chosen,
                      'chosen_picture': chosen and _picture(chosen.pictures), 'answer': answer,
                      'answer_picture': answer and _picture(answer.pictures)})
    return _render('mentions.html', cards=cards)


def marked(mention: Mention) -> tuple[str, str, str]:
    r"""The sentence before the mention, the mention's words in it, and the rest; all of it first without such words."""
    if mention.span is None:
        return mention.sentence, '', ''
    start, end = mention.span
    return mention.sentence[:start], mention.sentence[start:end], mention.sentence[end:]


def _picture(pictures: tuple[Picture, ...]) -> str | None:
    """As a data URI; one that cannot be used is missing, as it was for the model."""
    try:
        return first_picture(pictures)
    except PictureError:
        return None


@cache
def _environment():
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(loader=FileSystemLoader(Path(__file__).parent / 'templates'), autoescape=True,
                       undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _render(template: str, **values) -> str:
    return utf8(_environment().get_template(template).render(**values))
