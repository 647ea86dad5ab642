r"""The model card of a run: what a model is, how it was trained and how good it is, from the run's own figures."""

from collections.abc import Mapping

from torch import nn

from drin_pyg.evaluation import Metrics
from drin_pyg.features import MELData
from drin_pyg.nn import DRIN
from drin_pyg.training.recipe import Recipe

PAPER = 'https://arxiv.org/abs/2310.05589'

CAUTIONS = {
    'train': ', **which the model was trained on**',
    'val': ', **by which the best epoch was chosen**',
    'test': ', which neither training nor the choice of the epoch saw',
}

TEMPLATE = """# {title}

Multimodal entity linking: which entity of a knowledge base does a mention mean, judged by its text and its image? The
model is DRIN ([arXiv 2310.05589]({paper})), PyTorch Geometric layers of `drin_pyg` with {parameters:,} parameters. It
scores candidates that something else found; it does not search.

```python
from drin_pyg.graph import CandidateLoader, forward_args
from drin_pyg.nn import DRIN

model = DRIN.from_pretrained('{repo_id}')
for batch in CandidateLoader(tables, candidates, context='{context}'):
    scores = model(**forward_args(batch))  # one per candidate, higher is better
```

## Inputs

{inputs}

## Figures

On {num_mentions:,} mentions of the split `{split}` of {data}{caution}. *Raw* counts an answer that is not among the
candidates as a miss, *conditional* leaves such mentions out; ties are {tie}, ± is the standard error over mentions.

{figures}

The answer is among the candidates of {recall:.2%} of the mentions: no model can be better than that, raw.

## Training

{training}

## Data

{about_data}

## Limits

Figures are of this data and these candidates; another knowledge base, retriever or kind of text has others. Scores of
two mentions do not compare, and no score means "none of these": `drin-pyg link` decides that with the calibration of
the run, which is not part of the model.
"""


def model_card(
    recipe: Recipe,
    model: DRIN,
    data: MELData,
    metrics: Metrics,
    *,
    split: str = 'test',
    data_name: str = 'the data of the run',
    repo_id: str = 'user/name',
    license: str | None = None,
    notes: Mapping[str, str] | None = None,
) -> str:
    r"""The text of a model card, with the metadata that model hubs read.

    Args:
        recipe: How the model was trained.
        model: The model.
        data: What it was trained on.
        metrics: Its figures on a split of ``data``.
        split: That split.
        data_name: What to call the data; a path would be published.
        repo_id: What the model will be called on the hub.
        license: License of the model, as the hub spells it, such as ``"mit"``; None says nothing.
        notes: Further things to say of the data, in addition to its own.

    Returns:
        Markdown with YAML at the top.

    Raises:
        ImportError: If huggingface_hub is missing.
    """
    try:
        from huggingface_hub import EvalResult, ModelCardData
    except ImportError as error:
        raise ImportError("Model cards are written with huggingface_hub, which is not installed; run `pip install "
                          "huggingface_hub`") from error

    title = f'DRIN for entity linking on {data_name}'
    figures = {**{f'hits@{k}': value for k, value in metrics.hits.items()}, 'mrr': metrics.mrr}
    results = [EvalResult(task_type='entity-linking', dataset_type=data_name, dataset_name=data_name,
                          dataset_split=split, metric_type=name, metric_value=round(value, 4))
               for name, value in figures.items()]
    metadata = ModelCardData(model_name=title, library_name='drin_pyg', license=license, eval_results=results,
                             tags=['entity-linking', 'multimodal', 'graph-neural-network', 'pytorch-geometric', 'drin'])
    text = TEMPLATE.format(
        title=title,
        paper=PAPER,
        parameters=num_parameters(model),
        repo_id=repo_id,
        context=recipe.context,
        inputs=_inputs(model, data),
        num_mentions=metrics.num_mentions,
        split=split,
        data=data_name,
        caution=CAUTIONS.get(split, ''),
        tie=metrics.tie,
        figures=_figures(metrics),
        recall=metrics.recall,
        training=_training(recipe, model),
        about_data=_about_data(data, {**data.notes, **(notes or {})}),
    )
    return f'---\n{metadata.to_yaml()}\n---\n\n{text}'


def num_parameters(model: nn.Module) -> int:
    r"""How many numbers a model has learned."""
    return sum(parameter.numel() for parameter in model.parameters())


def _inputs(model: DRIN, data: MELData) -> str:
    rows = [(f'`{node_type}`', encoder.in_channels) for node_type, encoder in model.encoders.items()]
    table = _table(('vertices', 'width of their features'), rows)
    if data.preset is None:
        return f'{table}\n\nThe data came as features; what made them is not recorded.'
    return f'{table}\n\nFeatures and first weights of the edges are those of the preset `{data.preset.name}` of ' \
           f'`drin-pyg encode`; with any other, scores mean nothing.'


def _figures(metrics: Metrics) -> str:
    rows = [(f'Hits@{k}', f'{value:.2%} ± {metrics.hits_error[k]:.2%}', f'{metrics.conditional_hits[k]:.2%}')
            for k, value in metrics.hits.items()]
    rows.append(('MRR', f'{metrics.mrr:.2%} ± {metrics.mrr_error:.2%}', f'{metrics.conditional_mrr:.2%}'))
    rows.append(('Mean rank', '', f'{metrics.mean_rank:.2f}'))
    return _table(('', 'raw', 'conditional'), rows)


def _training(recipe: Recipe, model: DRIN) -> str:
    config = {name: value for name, value in model.config().items() if name != 'in_channels'}
    rows = [*config.items(), ('context', recipe.context), ('loss', recipe.loss), ('learning rate (Adam)', recipe.lr),
            ('pairs per batch', recipe.max_pairs), ('most epochs', recipe.max_epochs), ('patience', recipe.patience),
            ('started from the features', recipe.warm_start)]
    text = _table(('setting', 'value'), [(name, f'`{value}`') for name, value in rows])
    if recipe.gold_appended:
        text += '\n\n**In training every list ended in the answer, as in the published protocol, which leaks it.**'
    return text


def _about_data(data: MELData, notes: Mapping[str, str]) -> str:
    candidates = data.candidates
    sizes = ', '.join(f'{rows.numel():,} {name}' for name, rows in data.split.items())
    lines = [f'{data.tables.num_entities:,} entities; mentions with an answer: {sizes}; '
             f'{candidates.num_pairs / max(candidates.num_mentions, 1):.1f} candidates a mention.']
    return '\n\n'.join([*lines, *(f'{name}: {note}' for name, note in notes.items())])


def _table(head: tuple, rows: list[tuple]) -> str:
    lines = [head, tuple('---' for _ in head), *rows]
    return '\n'.join('| ' + ' | '.join(str(cell).replace('|', '\\|') for cell in line) + ' |' for line in lines)
