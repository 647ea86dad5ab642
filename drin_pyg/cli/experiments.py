from pathlib import Path
from typing import Annotated, Literal

import typer

from drin_pyg.cli.app import Config, Json, Quiet, app, print_json
from drin_pyg.cli.complete import complete_study
from drin_pyg.cli.model import Tables


@app.command()
def ablate(
    data: Tables,
    out: Annotated[Path, typer.Option(help='Results folder: a table (CSV, Markdown) and a figure of each study. What '
                                           'is there is not run again.')],
    study: Annotated[list[str] | None, typer.Option(help='Name of a study. Repeatable; default: all that fit the data. '
                                                         '--list shows them.',
                                                    autocompletion=complete_study)] = None,
    variant: Annotated[list[str] | None, typer.Option(help="Name of a variant to run beside the study's base. "
                                                           "Repeatable; default: all.")] = None,
    preset: Annotated[Literal['best', 'published'],
                      typer.Option(help='The recipe that is changed: the best known, or the paper to the '
                                        'letter.')] = 'best',
    config: Config = None,
    seeds: Annotated[int, typer.Option(min=1, help='Seeds of each variant.')] = 3,
    workers: Annotated[int, typer.Option(min=1, help='Models trained side by side, one core each.')] = 2,
    quick: Annotated[bool, typer.Option('--quick', help='One epoch of everything: does it run?')] = False,
    listed: Annotated[bool, typer.Option('--list', help='List the studies and their variants; run nothing.')] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Answer a question by experiments: variants of the model or the data, several seeds, error bars, p-values."""
    from drin_pyg.experiments import STUDIES, ablate, make_study
    from drin_pyg.experiments.studies import EMOJI_ONLY
    from drin_pyg.training import EMOJI, Recipe

    recipe = Recipe() if preset == 'best' else Recipe.paper(patience=3)
    if config is not None:
        recipe = recipe.updated(config)
    names = study or [name for name in STUDIES if data == EMOJI or name not in EMOJI_ONLY]
    if listed:
        studies = [make_study(name, recipe) for name in names]
        if json:
            print_json([{'study': study.name, 'question': study.question, 'base': study.base,
                         'variants': [variant.name for variant in study.variants]} for study in studies])
            return
        for found in studies:
            typer.echo(f'{found.name}: {found.question}')
            typer.echo(''.join(f'  {variant.name}\n' for variant in found.variants), nl=False)
        return
    tables = ablate(data, out, names, recipe, variants=variant, seeds=seeds, workers=workers, quick=quick,
                    progress=not quiet)
    if json:
        print_json([{'study': table.study.name, 'question': table.study.question, 'base': table.study.base,
                     'rows': table.rows()} for table in tables])
        return
    for table in tables:
        typer.echo(f'{table.format()}\n')
    typer.echo(f'Tables and figures: {out}')
