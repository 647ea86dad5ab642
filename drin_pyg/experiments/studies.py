r"""The experiments by name: each asks one question of the paper, or one that it left open."""

from collections.abc import Callable

from drin_pyg.experiments.variant import Study, Variant
from drin_pyg.training import Recipe
from drin_pyg.vocabulary import RELATIONS

BASE = 'DRIN'
SWAPPED = (0.0, 0.2, 0.4, 0.6, 0.8)
BASELINES = {
    'late_fusion_sum': 'late fusion, sum',
    'late_fusion_logistic': 'late fusion, logistic',
    'text_only': 'text only, one space',
    'image_only': 'image only, one space',
    'single_space': 'text and image in one space (CLIP style)',
    'pair_network': 'small pair network',
    'ghmfc': 'GHMFC',
    'melhi': 'MEL-HI',
}


def edges(base: Variant) -> list[Variant]:
    """Do dynamic edges beat static ones? Are vectors better than one number?"""
    return [base.changed('static edges', {'dynamic': False}), base.changed('vector edges', {'vector_edges': True})]


def relations(base: Variant) -> list[Variant]:
    """What does each relation bring, and how far does each get alone?"""
    without = [base.changed(f'without {name}', {'relations': [other for other in RELATIONS if other != name]})
               for name in RELATIONS]
    return [*without, *(base.changed(f'{name} alone', {'relations': [name]}) for name in RELATIONS)]


def depth(base: Variant) -> list[Variant]:
    """How many layers?"""
    return [base.changed(f'{layers} layer{"s" * (layers != 1)}', {'num_layers': layers}) for layers in range(6)]


def context(base: Variant) -> list[Variant]:
    """Each candidate in a graph of its own, or all candidates of a mention in one?"""
    return [base.changed(f'{name} context', recipe={'context': name}) for name in ('pair', 'mention')]


def sharing(base: Variant) -> list[Variant]:
    """Do all types share the parameters of a layer, or has each its own?"""
    return [base.changed('shared parameters', {'shared': True}),
            base.changed('own parameters per type', {'shared': False})]


def loss(base: Variant) -> list[Variant]:
    """Softmax or margin?"""
    return [base.changed(f'{name} loss', recipe={'loss': name}) for name in ('softmax', 'margin')]


def recipe(base: Variant) -> list[Variant]:
    """What does each difference from the paper bring?"""
    if base.recipe.published:
        return [base.changed('warm start', recipe={'warm_start': True}),
                base.changed('softmax loss', recipe={'loss': 'softmax'})]
    return [base.changed('no warm start', recipe={'warm_start': False}),
            base.changed('vertices replaced, not added to', {'residual': False}),
            base.changed('score reads the text vertices only', {'read_relations': False}, {'loss': 'margin'}),
            base.changed('no layer', {'num_layers': 0})]


def baselines(base: Variant) -> list[Variant]:
    """What do other models reach on the same features, with the same loss and optimiser?"""
    width = base.recipe.model.get('hidden_channels', 768 if base.recipe.published else 256)
    same = Recipe(model={'hidden_channels': width}, context=base.recipe.context, loss=base.recipe.loss,
                  lr=base.recipe.lr, max_pairs=base.recipe.max_pairs)
    # A model that starts at random needs larger steps, and more of them.
    cold = same.changed({'warm_start': False, 'lr': 5e-4, 'max_epochs': 12, 'patience': 3})
    variants = [Variant(title, cold, scorer) for scorer, title in BASELINES.items()]
    return [*variants, *(Variant(f'{BASELINES[scorer]}, warm start', same, scorer)
                         for scorer in ('single_space', 'pair_network'))]


def swapped(base: Variant) -> list[Variant]:
    """Images of other entities: does the model learn to turn the image off?"""
    fusion = Variant(BASELINES['late_fusion_logistic'], scorer='late_fusion_logistic')
    doubting = base.changed('DRIN that doubts images', {'doubt_images': True})
    systems = [base, base.changed('static edges', {'dynamic': False}), *([] if base.recipe.published else [doubting]),
               fusion]
    variants = [variant.changed(f'{variant.name}, {share:.0%} swapped in training', swapped=share,
                                test_swapped=SWAPPED) for variant in systems for share in (0.0, 0.4)]
    # The training images stay as they are, and other ones are drawn in their place every epoch.
    anew = [variant.changed(f'{variant.name}, 40% drawn anew every epoch', recipe={'swap_images': 0.4},
                            test_swapped=SWAPPED) for variant in systems[:-1] if not variant.recipe.published]
    return [*variants, *anew]


def protocol(base: Variant) -> list[Variant]:
    """How much of the published figure is its protocol: answers appended in training, in testing, or both?"""
    return [base.changed(f'{name} context, {title}', recipe={'context': name, 'gold_appended': leak},
                         gold_appended=True)
            for name in ('pair', 'mention')
            for title, leak in (('trained honestly', False), ('trained on the leak', True))]


def images(base: Variant) -> list[Variant]:
    """One image or several, of mentions and of entities? (EmojiMEL, which has three vendors' pictures.)"""
    sources = {'one image each': 'emoji:mention=twemoji,entity=noto',
               'two images of an entity': 'emoji:mention=twemoji,entity=noto+fluent',
               'two images of a mention': 'emoji:mention=twemoji+fluent,entity=noto'}
    return [base.changed(name, source=source) for name, source in sources.items()]


def graphs(base: Variant) -> list[Variant]:
    """Do further vertices and relations help: the mention's words, the entity's name, candidates joined?"""
    mention = {'context': 'mention'}
    return [base.changed('+ mention surface', extra=('surface', )),
            base.changed('+ entity name', extra=('name', )),
            base.changed('+ surface and name', extra=('surface', 'name')),
            base.changed('mention context', recipe=mention),
            base.changed('mention context, + candidates joined', recipe=mention, extra=('joined', ))]


STUDIES: dict[str, Callable[[Variant], list[Variant]]] = {
    study.__name__: study for study in (edges, relations, depth, context, sharing, loss, recipe, baselines, swapped,
                                        protocol, images, graphs)}
EMOJI_ONLY = {'images'}
OWN_BASE = {'images': 'one image each'}  # studies on other data than the base recipe's


def make_study(name: str, base: Recipe) -> Study:
    r"""A study of :data:`STUDIES`, on a base recipe.

    Args:
        name: Its name.
        base: The recipe that the variants change.

    Raises:
        ValueError: If there is no such study.
    """
    if name not in STUDIES:
        raise ValueError(f"There is no study '{name}'; there are {', '.join(STUDIES)}")
    first = Variant(BASE, base)
    variants = STUDIES[name](first)
    if name in OWN_BASE:
        return Study(name, STUDIES[name].__doc__, tuple(variants), OWN_BASE[name])
    # A variant that changes nothing is the base itself: trained once, whatever each study calls it.
    return Study(name, STUDIES[name].__doc__, (first, *variants), BASE)
