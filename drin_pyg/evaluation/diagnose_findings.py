r"""Known ways in which the relations of a DRIN fail, each with a verdict.

* ``static_edges``: dynamic edges are not learning. Warns if the weights that leave a layer hardly vary
  (standard deviation below :data:`FLAT` in every relation), or if the learned update is not missed: taking it out
  changes the hit of at most :data:`NOTHING` of the mentions.
* ``over_smoothing``: vertices get alike. Warns if two vertices of a type that belong to different mentions or
  entities have a mean cosine of at least :data:`ALIKE` at the last depth, or if a type has lost half of its
  effective rank while reading the score at an earlier depth is as accurate.
* ``text_only``: the score needs no picture. Warns if text-text alone, with all other relations switched off, comes
  within :data:`POINT` of the whole model's accuracy.
* ``dead_relation``: a relation whose weights could as well be one constant: replacing them by their mean changes the
  hit of at most :data:`NOTHING` of the mentions.
* ``saturated``: more than :data:`MOST` of a relation's weights at some depth are within 0.01 of 0 or 1, where the
  sigmoid passes less than a twenty-fifth of its steepest gradient.
* ``gold_blind``: at the last depth where it has weights, a relation ranks the gold above a wrong candidate no more
  often than chance: its AUC is not two standard errors above a half.
"""

from drin_pyg.evaluation.diagnose_records import Diagnosis, Finding
from drin_pyg.nn import DRIN
from drin_pyg.vocabulary import TEXT_TEXT

FLAT = 0.01        # of a range of 1: a weight that varies less moves a vertex by less than 1 % of its neighbour
NOTHING = 0.01     # one mention in a hundred; two seeds of one model differ in more
ALIKE = 0.9        # an angle of 26 degrees: a cosine then has a tenth of its range left to tell vertices apart
POINT = 0.01       # one point of accuracy, about the standard error over 1000 to 2000 mentions
MOST = 0.5         # the median weight gets no gradient


def find(model: DRIN, found: Diagnosis) -> list[Finding]:
    r"""The verdicts.

    Args:
        model: The model.
        found: What was seen of it.
    """
    return [_static_edges(model, found), _over_smoothing(found), _text_only(model, found), _dead_relation(found),
            _saturated(found), _gold_blind(found)]


def _static_edges(model: DRIN, found: Diagnosis) -> Finding:
    name = 'static_edges'
    made = [w for w in found.weights if w.depth > 0]
    taken = [a for a in found.ablations if a.name == 'static update']
    if not model.dynamic or not made or not taken:
        return Finding(name, 'not applicable', "The model updates no edge weight.")
    spread = max(w.variance**0.5 for w in made)
    order = min((u.correlation for u in found.updates), default=1.0)
    numbers = {'largest_std': spread, 'lowest_order_correlation': order, 'changed_without_update': taken[0].changed,
               'drop_without_update': taken[0].drop, 'p_value': taken[0].p_value}
    if spread < FLAT:
        return Finding(name, 'warning', f"The weights that leave the layers hardly vary: their standard deviation is "
                                        f"at most {spread:.4f}.", numbers)
    text = f"without the learned update {taken[0].changed:.1%} of the hits change (lowest Spearman of the weights " \
           f"before and after a layer {order:.2f})."
    if taken[0].changed <= NOTHING:
        return Finding(name, 'warning', f"The update decides next to nothing: {text}", numbers)
    return Finding(name, 'ok', f"The update matters: {text}", numbers)


def _over_smoothing(found: Diagnosis) -> Finding:
    name = 'over_smoothing'
    if found.num_layers == 0:
        return Finding(name, 'not applicable', "The model has no layers.")
    at = {(v.node_type, v.depth): v for v in found.vertices}
    first = {t: v for (t, depth), v in at.items() if depth == 0}
    last = {t: v for (t, depth), v in at.items() if depth == found.num_layers}
    cosine = {t: v.cosine for t, v in last.items()}
    rank = {t: v.effective_rank / first[t].effective_rank for t, v in last.items() if t in first}
    earlier = max(reading.accuracy for reading in found.readings[:-1])
    numbers = {'cosine': cosine, 'rank_kept': rank, 'best_earlier_accuracy': earlier, 'accuracy': found.accuracy}
    alike = [t for t, value in cosine.items() if value >= ALIKE]
    if alike:
        return Finding(name, 'warning', f"After the last layer the vertices of {_names(alike)} are alike: mean cosine "
                                        f"{max(cosine.values()):.2f}.", numbers)
    shrunk = [t for t, value in rank.items() if value < 0.5]
    if shrunk and earlier >= found.accuracy:
        return Finding(name, 'warning', f"The layers cost {_names(shrunk)} half of the effective rank or more, and the "
                                        f"score read before the last layer is as accurate ({earlier:.1%}).", numbers)
    return Finding(name, 'ok', f"Vertices stay apart: mean cosine at most {max(cosine.values(), default=0.0):.2f} "
                               f"after the last layer.", numbers)


def _text_only(model: DRIN, found: Diagnosis) -> Finding:
    name, text = 'text_only', TEXT_TEXT[1]
    alone = [a for a in found.ablations if a.name == 'alone' and a.relation == text]
    if not alone:
        return Finding(name, 'not applicable', "The data or the model has no other relation than that of the texts."
                       if TEXT_TEXT in model.edge_types else "The model has no relation of the texts.")
    shares = {f'{s.relation} {s.part}': s.share for s in found.shares}
    numbers = {'accuracy': found.accuracy, 'accuracy_alone': alone[0].accuracy, 'drop': alone[0].drop,
               'drop_error': alone[0].error, 'p_value': alone[0].p_value, 'shares': shares}
    if alone[0].drop < POINT:
        return Finding(name, 'warning', f"The texts alone are as good as all relations: {alone[0].accuracy:.1%} of "
                                        f"{found.accuracy:.1%}.", numbers)
    return Finding(name, 'ok', f"With the relation of the texts alone, accuracy falls from {found.accuracy:.1%} to "
                               f"{alone[0].accuracy:.1%}.", numbers)


def _dead_relation(found: Diagnosis) -> Finding:
    name = 'dead_relation'
    changed = {a.relation: a.changed for a in found.ablations if a.name == 'mean weight'}
    if not changed:
        return Finding(name, 'not applicable', "No relation has an edge.")
    dead = [relation for relation, share in changed.items() if share <= NOTHING]
    numbers = {'changed': changed}
    if dead:
        return Finding(name, 'warning', f"One constant weight does as well in {_names(dead)}: at most "
                                        f"{max(changed[r] for r in dead):.1%} of the hits change.", numbers)
    return Finding(name, 'ok', f"A constant weight changes {min(changed.values()):.1%} of the hits or more in every "
                               f"relation.", numbers)


def _saturated(found: Diagnosis) -> Finding:
    name = 'saturated'
    share = {f'{w.relation} at depth {w.depth}': w.saturated for w in found.weights if w.saturated == w.saturated}
    if not share:
        return Finding(name, 'not applicable', "No weight is the output of a sigmoid.")
    ends = [key for key, value in share.items() if value > MOST]
    if ends:
        return Finding(name, 'warning', f"Most weights are near 0 or 1 in {_names(ends)}: up to "
                                        f"{max(share.values()):.0%}.", {'saturated': share})
    return Finding(name, 'ok', f"At most {max(share.values()):.1%} of a relation's weights are near 0 or 1.",
                   {'saturated': share})


def _gold_blind(found: Diagnosis) -> Finding:
    name = 'gold_blind'
    last = {w.relation: w for w in found.weights if w.auc == w.auc}  # by depth, so the last one stays
    if not last:
        return Finding(name, 'not applicable', "No mention has weights of its gold and of another candidate.")
    numbers = {'auc': {r: w.auc for r, w in last.items()}, 'error': {r: w.auc_error for r, w in last.items()}}
    blind = [r for r, w in last.items() if w.auc <= 0.5 + 2 * w.auc_error]
    if blind:
        return Finding(name, 'warning', f"No better than chance at gold against rest: {_names(blind)} (AUC down to "
                                        f"{min(last[r].auc for r in blind):.2f}).", numbers)
    return Finding(name, 'ok', f"Every relation's weight tells gold from rest (AUC at least "
                               f"{min(w.auc for w in last.values()):.2f}).", numbers)


def _names(names: list[str]) -> str:
    return ', '.join(names)
