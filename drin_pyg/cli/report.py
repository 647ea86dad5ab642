from pathlib import Path
from typing import Annotated

import typer

from drin_pyg.cli.app import Json, Quiet, app, print_json


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help='Folder for the report and the models.')] = Path('report'),
    seeds: Annotated[int, typer.Option(min=1, help='Seeds of the best model.')] = 5,
    quick: Annotated[bool, typer.Option('--quick', help='One epoch of everything: does it run?')] = False,
    workers: Annotated[int, typer.Option(min=1, help='Models trained side by side, one core each.')] = 2,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train DRIN on EmojiMEL, compare it with what it must beat, and write a report."""
    from drin_pyg.demo import format_table, plain_results, run_demo, write_report
    from drin_pyg.files import claim

    with claim(out):
        results = run_demo(out, seeds=1 if quick else seeds, quick=quick, workers=workers, progress=not quiet)
        page = write_report(results, out)
    if json:
        print_json({**plain_results(results), 'report': str(page), 'run': str(out / 'best')})
        return
    typer.echo(format_table(results))
    typer.echo(f'\nReport: {page}')
    typer.echo(f'Link a mention of your own: drin-pyg link {out / "best"} --sentence ... --mention ... --image ...')
