from pathlib import Path
from typing import Annotated, Literal

import typer

from drin_pyg.cli.app import Config, Quiet, app


@app.command()
def ablate(
    data: Annotated[str, typer.Argument(help="Folder that `drin-pyg encode` wrote, or 'emoji' for the packaged "
                                             "EmojiMEL.")],
    out: Annotated[Path, typer.Option(help='Results folder: a table (CSV, Markdown) and a figure of each study. What '
                                           'is there is not run again.')],
    study: Annotated[list[str] | None, typer.Option(help='Name of a study. Repeatable; default: all that fit the data. '
                                                         '--list shows them.')] = None,
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
    quiet: Quiet = False,
) -> None:
    """Answer a question by experiments: variants of the model or the data, several seeds, error bars, p-values."""
    from drin_pyg.experiments import STUDIES, ablate, make_study
    from drin_pyg.experiments.studies import EMOJI_ONLY
    from drin_pyg.files import read_yaml
    from drin_pyg.training import EMOJI, Recipe

    recipe = Recipe() if preset == 'best' else Recipe.paper(patience=3)
    if config is not None:
        recipe = recipe.changed(read_yaml(config), config)
    names = study or [name for name in STUDIES if data == EMOJI or name not in EMOJI_ONLY]
    if listed:
        for name in names:
            found = make_study(name, recipe)
            typer.echo(f'{name}: {found.question}')
            typer.echo(''.join(f'  {variant.name}\n' for variant in found.variants), nl=False)
        return
    tables = ablate(data, out, names, recipe, variants=variant, seeds=seeds, workers=workers, quick=quick,
                    progress=not quiet)
    for table in tables:
        typer.echo(f'{table.format()}\n')
    typer.echo(f'Tables and figures: {out}')
