r"""The command ``drin-pyg``: parses, calls the library, prints. Heavy imports wait for the command."""

import os
import re
import sys
import warnings
from pathlib import Path
from typing import Annotated, Literal

import typer

# What libraries say about themselves on import, here and in worker processes; nothing a user can act on.
NOISE = {
    '`torch.jit.script` is deprecated': FutureWarning,
    '`isinstance(treespec': FutureWarning,
}

app = typer.Typer(
    name='drin-pyg',
    help='Link mentions to knowledge-base entities by text and image, with DRIN on PyTorch Geometric.',
    no_args_is_help=True,
    rich_markup_mode='markdown',
    pretty_exceptions_enable=False,
)

Quiet = Annotated[bool, typer.Option('--quiet', '-q', help='No progress bars.')]
Data = Annotated[str, typer.Option(help="'emoji' for the packaged EmojiMEL, or a folder with its five files.")]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help='Folder for the report and the models.')] = Path('report'),
    seeds: Annotated[int, typer.Option(min=1, help='Seeds of the best model.')] = 5,
    quick: Annotated[bool, typer.Option('--quick', help='One epoch of everything: does it run?')] = False,
    workers: Annotated[int, typer.Option(min=1, help='Models trained side by side, one core each.')] = 2,
    quiet: Quiet = False,
) -> None:
    """Train DRIN on EmojiMEL, compare it with what it must beat, and write a report."""
    from drin_pyg.demo import format_table, run_demo, write_report

    results = run_demo(out, seeds=1 if quick else seeds, quick=quick, workers=workers, progress=not quiet)
    page = write_report(results, out)
    typer.echo(format_table(results))
    typer.echo(f'\nReport: {page}')
    typer.echo(f'Link a mention of your own: drin-pyg link {out / "best"} --sentence ... --mention ... --image ...')


@app.command()
def train(
    out: Annotated[Path, typer.Argument(help='Folder for the run: model, log, checkpoints, recipe.')],
    data: Data = 'emoji',
    preset: Annotated[Literal['best', 'published'],
                      typer.Option(help='The best known recipe, or the paper to the letter.')] = 'best',
    context: Annotated[Literal['pair', 'mention'] | None,
                       typer.Option(help="Each candidate in a graph of its own ('pair'), or all candidates of a "
                                         "mention in one. Default: the preset's.")] = None,
    without: Annotated[list[str] | None,
                       typer.Option(help='Name of a relation to switch off. Repeatable.')] = None,
    static: Annotated[bool, typer.Option('--static', help='Leave edge weights as they are.')] = False,
    width: Annotated[int | None, typer.Option(min=1, help='Width of the vertices.')] = None,
    layers: Annotated[int | None, typer.Option(min=0, help='Number of dynamic layers.')] = None,
    loss: Annotated[str | None, typer.Option(help="'softmax' or 'margin'.")] = None,
    lr: Annotated[float | None, typer.Option(min=0, help='Learning rate of Adam.')] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help='Most epochs.')] = None,
    patience: Annotated[int | None, typer.Option(min=1, help='Epochs without a better validation MRR before '
                                                             'stopping.')] = None,
    max_pairs: Annotated[int | None, typer.Option(min=1, help='Mention-candidate pairs per batch.')] = None,
    seed: Annotated[int, typer.Option(help='Seed of parameters, order and dropout.')] = 0,
    resume: Annotated[bool, typer.Option('--resume', help='Go on with the run in the folder.')] = False,
    quiet: Quiet = False,
) -> None:
    """Train a model; the best epoch by validation MRR is kept."""
    from dataclasses import replace

    from drin_pyg.training import CandidateDataModule, Recipe, fit, load_data, save_run
    from drin_pyg.vocabulary import RELATIONS

    unknown = set(without or ()) - set(RELATIONS)
    if unknown:
        raise ValueError(f"Unknown relation '{min(unknown)}'; known are {', '.join(RELATIONS)}")
    recipe = Recipe() if preset == 'best' else Recipe.paper()
    model = {'hidden_channels': width, 'num_layers': layers, 'dynamic': False if static else None,
             'relations': [name for name in RELATIONS if name not in without] if without else None}
    changes = {'context': context, 'loss': loss, 'lr': lr, 'max_epochs': epochs,
               'patience': patience, 'max_pairs': max_pairs}
    recipe = replace(recipe, model={k: v for k, v in model.items() if v is not None},
                     **{k: v for k, v in changes.items() if v is not None})
    loaded = load_data(data, not quiet)
    network = recipe.build(loaded.tables, loaded.candidates, loaded.split['train'], seed)
    module = CandidateDataModule(loaded.tables, loaded.candidates, loaded.split, max_pairs=recipe.max_pairs,
                                 context=recipe.context, seed=seed)
    result = fit(network, module, out, loss=recipe.loss, lr=recipe.lr, max_epochs=recipe.max_epochs,
                 patience=recipe.patience, seed=seed, resume=resume, progress=not quiet)
    save_run(out, recipe, data)
    typer.echo(f'Best validation MRR {result.best_val_mrr:.4f} in {result.epochs} epochs, {result.seconds:.0f} s. '
               f'Run: {out}')


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help='Folder that `drin-pyg train` wrote.')],
    split: Annotated[Literal['train', 'val', 'test'], typer.Option(help='Which mentions.')] = 'test',
    tie: Annotated[Literal['pessimistic', 'realistic', 'optimistic'],
                   typer.Option(help='How ties count.')] = 'pessimistic',
    json: Annotated[bool, typer.Option('--json', help='Print JSON instead of a table.')] = False,
    quiet: Quiet = False,
) -> None:
    """Rank the candidates of a split and print raw, conditional and recall figures side by side."""
    from json import dumps

    from drin_pyg.evaluation import evaluate_scores
    from drin_pyg.nn import DRIN
    from drin_pyg.training import CandidateDataModule, load_data, predict, read_run

    recipe, source = read_run(run)
    model = DRIN.from_pretrained(run / 'model')
    data = load_data(source, not quiet)
    module = CandidateDataModule(data.tables, data.candidates, data.split, max_pairs=recipe.max_pairs,
                                 context=recipe.context)
    lists = data.candidates.select(data.split[split])
    metrics = evaluate_scores(predict(model, module, split), lists, tie)
    typer.echo(dumps(metrics.to_dict(), indent=2) if json else metrics.format())


@app.command()
def link(
    run: Annotated[Path, typer.Argument(help='Folder of a trained run, such as report/best.')],
    sentence: Annotated[str, typer.Option(help='The text around the mention.')],
    mention: Annotated[str, typer.Option(help='The words that mention the entity.')],
    image: Annotated[list[Path] | None,
                     typer.Option(help='Image beside the text. Repeatable; may be left out.')] = None,
    candidate: Annotated[list[str] | None, typer.Option(help='Entity id to compare. Repeatable; default: 32 are '
                                                             'retrieved.')] = None,
    k: Annotated[int, typer.Option('-k', min=1, help='Candidates to print.')] = 5,
    json: Annotated[bool, typer.Option('--json', help='Print JSON instead of a table.')] = False,
    quiet: Quiet = False,
) -> None:
    """Link one mention: ranked candidates, and the relation weights that explain them."""
    from json import dumps

    from drin_pyg.linking import Linker, format_links

    links = Linker.from_pretrained(run, not quiet).link(sentence, mention, image or (), candidate, k)
    records = [entry.to_dict() for entry in links]
    typer.echo(dumps(records, indent=2, ensure_ascii=False) if json else format_links(links))


@app.command()
def parity(
    folders: Annotated[list[Path], typer.Argument(help='Folders in the published preprocessed format, with '
                                                       'config.json, parameters.npz and expected.npz.')],
    tolerance: Annotated[float, typer.Option(help='Largest absolute difference allowed (float64).')] = 1e-9,
) -> None:
    """Compare with the published implementation's numbers; exit 1 above the tolerance."""
    from drin_pyg.evaluation.parity import published_parity

    results = [(folder, published_parity(folder)) for folder in folders]
    names = list(vars(results[0][1]))
    typer.echo('  '.join(['largest absolute difference of'.ljust(32), *(name.rjust(25) for name in names)]))
    for folder, result in results:
        cells = ['-' if value is None else f'{value:.1e}' for value in vars(result).values()]
        typer.echo('  '.join([folder.name.ljust(32), *(cell.rjust(25) for cell in cells)]))
    worst = max(result.largest for _, result in results)
    verdict = 'within' if worst <= tolerance else 'ABOVE'
    typer.echo(f'Largest of all: {worst:.1e}, {verdict} the tolerance {tolerance:g}')
    if not worst <= tolerance:  # also if it is NaN
        raise typer.Exit(1)


def main() -> None:
    """Runs the command. What the user can mend is one line on stderr and exit code 2."""
    for message, category in NOISE.items():
        warnings.filterwarnings('ignore', re.escape(message), category)
    os.environ.setdefault('PYTHONWARNINGS', ','.join(f'ignore:{m}:{c.__name__}' for m, c in NOISE.items()))
    try:
        code = app(standalone_mode=False)
    except typer.Abort:
        _fail('interrupted')
    except (OSError, ValueError, ImportError) as error:
        _fail(str(error))
    except Exception as error:
        if not hasattr(error, 'format_message'):  # what typer says of the command line has it
            raise
        _fail(error.format_message())
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> None:
    print(f'drin-pyg: {" ".join(message.split())}', file=sys.stderr)
    sys.exit(2)
