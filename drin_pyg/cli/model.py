from pathlib import Path
from typing import Annotated, Literal

import typer

from drin_pyg.cli.app import Config, Json, Quiet, app, print_json
from drin_pyg.cli.complete import complete_relation, complete_tables
from drin_pyg.cli.diagnose import Data, Run

Tables = Annotated[str, typer.Argument(help="Folder that `drin-pyg encode` wrote, or 'emoji' for the packaged "
                                            "EmojiMEL.",
                                       autocompletion=complete_tables)]


@app.command()
def train(
    data: Tables,
    out: Annotated[Path, typer.Option(help='Folder for the run: model, log, checkpoints, recipe.yaml.')],
    preset: Annotated[Literal['best', 'published'],
                      typer.Option(help='The best known recipe, or the paper to the letter.')] = 'best',
    config: Config = None,
    context: Annotated[Literal['pair', 'mention'] | None,
                       typer.Option(help="Each candidate in a graph of its own ('pair'), or all candidates of a "
                                         "mention in one. Default: the preset's.")] = None,
    without: Annotated[list[str] | None,
                       typer.Option(help='Name of a relation to switch off. Repeatable.',
                                    autocompletion=complete_relation)] = None,
    static: Annotated[bool, typer.Option('--static', help='Leave edge weights as they are.')] = False,
    width: Annotated[int | None, typer.Option(min=1, help='Width of the vertices.')] = None,
    layers: Annotated[int | None, typer.Option(min=0, help='Number of dynamic layers.')] = None,
    loss: Annotated[Literal['softmax', 'margin'] | None, typer.Option(help="Default: the preset's.")] = None,
    protocol: Annotated[Literal['honest', 'published'] | None,
                        typer.Option(help="'published' appends the answer to every list, which leaks it; to reproduce "
                                          "published training. Default: honest.")] = None,
    lr: Annotated[float | None, typer.Option(min=0, help='Learning rate of Adam.')] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help='Most epochs.')] = None,
    patience: Annotated[int | None, typer.Option(min=1, help='Epochs without a better validation MRR before '
                                                             'stopping.')] = None,
    max_pairs: Annotated[int | None, typer.Option(min=1, help='Mention-candidate pairs per batch.')] = None,
    seed: Annotated[int, typer.Option(help='Seed of parameters, order and dropout.')] = 0,
    resume: Annotated[bool, typer.Option('--resume', help='Go on with a finished run, too, to more epochs. One '
                                                             'that was stopped goes on by itself.')] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a model; the best epoch by validation MRR is kept. Goes on where it was stopped.

    Several processes train one model together: `torchrun --nproc-per-node 2 -m drin_pyg train ...`.
    """
    from drin_pyg.linking import calibrate
    from drin_pyg.training import Recipe, load_data, train_run
    from drin_pyg.training.fit import first_process
    from drin_pyg.vocabulary import RELATIONS

    unknown = set(without or ()) - set(RELATIONS)
    if unknown:
        raise ValueError(f"Unknown relation '{min(unknown)}'; known are {', '.join(RELATIONS)}")
    model = {'hidden_channels': width, 'num_layers': layers, 'dynamic': False if static else None,
             'relations': [name for name in RELATIONS if name not in without] if without else None}
    changes = {'context': context, 'loss': loss, 'lr': lr, 'max_epochs': epochs,
               'patience': patience, 'max_pairs': max_pairs,
               'gold_appended': None if protocol is None else protocol == 'published'}
    recipe = Recipe() if preset == 'best' else Recipe.paper()
    if config is not None:
        recipe = recipe.updated(config)
    recipe = recipe.changed({'model': {**recipe.model, **{k: v for k, v in model.items() if v is not None}},
                             **{k: v for k, v in changes.items() if v is not None}})
    quiet = quiet or not first_process()
    loaded = load_data(data, not quiet)
    for note in loaded.notes.values() if first_process() else ():
        typer.echo(f'Note: {note}', err=json)
    calibration = None

    def finish(trained) -> None:
        nonlocal calibration
        try:
            calibration = calibrate(trained, loaded, recipe, out).figures
        except ValueError as error:  # too few mentions; the model is none the worse for it
            typer.echo(f'Note: {error}', err=json)

    result = train_run(loaded, data, recipe, out, seed=seed, resume=resume, progress=not quiet, finish=finish)
    if not first_process():
        return
    if json:
        print_json({'run': str(out), 'best_val_mrr': result.best_val_mrr, 'epochs': result.epochs,
                    'seconds': result.seconds, 'calibration': calibration})
    else:
        typer.echo(f'Best validation MRR {result.best_val_mrr:.4f} in {result.epochs} epochs, {result.seconds:.0f} s. '
                   f'Run: {out}')


@app.command()
def evaluate(
    run: Run,
    split: Annotated[Literal['train', 'val', 'test'], typer.Option(help='Which mentions.')] = 'test',
    data: Data = None,
    tie: Annotated[Literal['pessimistic', 'realistic', 'optimistic'],
                   typer.Option(help='How ties count.')] = 'pessimistic',
    protocol: Annotated[Literal['honest', 'published'],
                        typer.Option(help="'published' shows step by step what the published protocol makes of the "
                                          "figure: ties win, answers that were not retrieved are left out, the answer "
                                          "is appended to every list.")] = 'honest',
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Rank the candidates of a split and print raw, conditional and recall figures side by side."""
    from dataclasses import asdict

    from drin_pyg.evaluation import evaluate_scores, protocol_gap
    from drin_pyg.linking import evaluate_calibration, format_figures, load_calibration
    from drin_pyg.training import data_module, load_run, predict

    recipe, model, loaded = load_run(run, data, not quiet)
    module = data_module(loaded, recipe, gold_appended=False)
    scores = predict(model, module, split)
    if protocol == 'published':
        leaked = predict(model, data_module(loaded, recipe, gold_appended=True), split)
        gap = protocol_gap(scores, leaked, module.lists(split))
        print_json(asdict(gap)) if json else typer.echo(gap.format())
        return
    metrics = evaluate_scores(scores, module.lists(split), tie)
    calibration = load_calibration(run, model)
    decision = calibration and evaluate_calibration(calibration, model, loaded, recipe, split)
    if json:
        print_json({**metrics.to_dict(), **({'decision': decision} if decision else {})})
    else:
        typer.echo(metrics.format() + (f'\n{format_figures(decision)}' if decision else ''))


@app.command()
def calibrate(
    run: Run,
    nil_share: Annotated[float | None, typer.Option(help='Share of mentions without an entity (NIL) to expect. '
                                                         'Default: that of the validation mentions, '
                                                         'but at least a tenth.')] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fit probabilities and the decision for NIL on the validation mentions of a run (`train` does it, too)."""
    from dataclasses import asdict

    from drin_pyg.files import claim
    from drin_pyg.linking import calibrate as fit
    from drin_pyg.linking import format_calibration
    from drin_pyg.training import load_run

    recipe, model, data = load_run(run, progress=not quiet)
    with claim(run):
        found = fit(model, data, recipe, run, nil_share=nil_share)
    print_json(asdict(found)) if json else typer.echo(format_calibration(found))


@app.command()
def parity(
    folders: Annotated[list[Path], typer.Argument(help='Folders in the published preprocessed format, with '
                                                       'config.json, parameters.npz and expected.npz.')],
    tolerance: Annotated[float, typer.Option(help='Largest absolute difference allowed (float64).')] = 1e-9,
    json: Json = False,
) -> None:
    """Compare with the published implementation's numbers; exit 1 above the tolerance."""
    from drin_pyg.evaluation.parity import published_parity

    results = [(folder, published_parity(folder)) for folder in folders]
    worst = max(result.largest for _, result in results)
    if json:
        print_json({'differences': {str(folder): vars(result) for folder, result in results}, 'largest': worst,
                    'tolerance': tolerance, 'within': worst <= tolerance})
    else:
        names = list(vars(results[0][1]))
        typer.echo('  '.join(['largest absolute difference of'.ljust(32), *(name.rjust(25) for name in names)]))
        for folder, result in results:
            cells = ['-' if value is None else f'{value:.1e}' for value in vars(result).values()]
            typer.echo('  '.join([folder.name.ljust(32), *(cell.rjust(25) for cell in cells)]))
        verdict = 'within' if worst <= tolerance else 'ABOVE'
        typer.echo(f'Largest of all: {worst:.1e}, {verdict} the tolerance {tolerance:g}')
    if not worst <= tolerance:  # also if it is NaN
        raise typer.Exit(1)
