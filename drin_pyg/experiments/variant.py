from dataclasses import asdict, dataclass, field, replace
from typing import Any

from drin_pyg.training import Recipe

DRIN = 'drin'


@dataclass(frozen=True)
class Variant:
    r"""One line of an experiment: what is trained, on what, and under which conditions it is tested. Plain data.

    Args:
        name: What a table calls it; unique within its study.
        recipe: The model and its training. The model's arguments of a baseline are the baseline's own.
        scorer: ``"drin"``, or a baseline of :mod:`drin_pyg.baselines`.
        extra: Further vertices and relations of the graph (:data:`~drin_pyg.experiments.extra_graph.EXTRA`).
        source: Other data than the study's; None for the same.
        swapped: Share of the training and validation mentions whose images are those of others
            (:func:`~drin_pyg.features.swap_images`).
        test_swapped: Shares of the test mentions with such images; each is a condition.
        gold_appended: Whether the test is made with answers appended to the lists, too, as one more condition.
    """

    name: str
    recipe: Recipe = field(default_factory=Recipe)
    scorer: str = DRIN
    extra: tuple[str, ...] = ()
    source: str | None = None
    swapped: float = 0.0
    test_swapped: tuple[float, ...] = (0.0, )
    gold_appended: bool = False

    def changed(self, name: str, model: dict[str, Any] | None = None, recipe: dict[str, Any] | None = None,
                **changes) -> 'Variant':
        r"""A variant that differs in some arguments of the model, fields of the recipe, or fields of its own."""
        recipe = dict(recipe or {})
        if model is not None:
            recipe['model'] = {**self.recipe.model, **model}
        return replace(self, name=name, recipe=self.recipe.changed(recipe), **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Study:
    r"""A question, and the variants that answer it.

    Args:
        name: Name on the command line.
        question: What is asked.
        variants: The lines of its table.
        base: Name of the variant that the others are compared with.
    """

    name: str
    question: str
    variants: tuple[Variant, ...]
    base: str
