from pathlib import Path
from typing import Annotated

import typer

from drin_pyg.cli.app import app


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help='Folder of encoded tables, of a run (its index is checked, too), of an '
                                                'index, or of results of `ablate`.')],
) -> None:
    """Read every file of a folder and compare it with the digest of what was written; exit 2 if one is damaged."""
    from drin_pyg.experiments import check_results
    from drin_pyg.experiments.ablate import SETTINGS
    from drin_pyg.features import check_tables
    from drin_pyg.features.tables_folder import MANIFEST as TABLES
    from drin_pyg.linking import EntityIndex, load_calibration
    from drin_pyg.linking.index_folder import MANIFEST as INDEX_FILE
    from drin_pyg.linking.linker import INDEX
    from drin_pyg.nn import DRIN
    from drin_pyg.training import check_run
    from drin_pyg.training.run import REQUEST, RUN

    if (folder / TABLES).is_file():
        check_tables(folder)
    elif (folder / INDEX_FILE).is_file():
        EntityIndex.load(folder, whole=True)
    elif (folder / RUN).is_file() or (folder / REQUEST).is_file():
        check_run(folder)
        model = DRIN.from_pretrained(folder / 'model')
        load_calibration(folder, model)
        if (folder / INDEX / INDEX_FILE).is_file():
            EntityIndex.load(folder / INDEX, model, whole=True)
    elif (folder / SETTINGS).is_file():
        check_results(folder)
    else:
        raise FileNotFoundError(f"'{folder}' holds no tables, run, index or results that are finished")
    typer.echo(f'{folder}: whole')
