from pathlib import Path
from typing import Annotated, Literal

import typer

from drin_pyg.cli.app import Json, Quiet, app, print_json
from drin_pyg.cli.complete import complete_run, complete_tables

Run = Annotated[Path, typer.Argument(help='Folder that `drin-pyg train` wrote.', autocompletion=complete_run)]
Data = Annotated[str | None, typer.Option(help='Other tables than those the model was trained on.',
                                            autocompletion=complete_tables)]


@app.command()
def diagnose(
    run: Run,
    data: Data = None,
    split: Annotated[Literal['train', 'val', 'test'], typer.Option(help='Which mentions.')] = 'test',
    out: Annotated[Path | None, typer.Option(help='Folder for diagnosis.json and figures (PDF, SVG, PNG).')] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Look into a trained model: what each relation does, layer by layer, what depends on it, and known failures."""
    from tqdm import tqdm

    from drin_pyg.evaluation.diagnose import diagnose
    from drin_pyg.evaluation.diagnose_format import format_diagnosis
    from drin_pyg.training import load_run

    recipe, model, loaded = load_run(run, data, not quiet)
    if split not in loaded.split:
        raise ValueError(f"There are no answered mentions of the split '{split}'; there are "
                         f"{', '.join(loaded.split) or 'none at all'}")
    found = diagnose(model, loaded.tables, loaded.candidates, loaded.split[split], context=recipe.context,
                     progress=lambda batches: tqdm(batches, 'Diagnosing', unit='batch', leave=False, disable=quiet))
    if out is not None:
        from drin_pyg.evaluation.diagnose_figures import write_diagnosis

        write_diagnosis(found, out)
    print_json(found.to_dict()) if json else typer.echo(format_diagnosis(found))
    if out is not None and not json:
        typer.echo(f'\nFigures and numbers: {out}')


@app.command()
def explain(
    run: Run,
    mention: Annotated[str, typer.Option(help='Id of the mention; its row, for data that came as features alone.')],
    candidate: Annotated[list[str] | None, typer.Option(help='Id of a candidate to explain. Repeatable; default: the '
                                                             'best and its strongest rival.')] = None,
    algorithm: Annotated[Literal['captum', 'gnn'] | None,
                         typer.Option(help="'captum' (Integrated Gradients; signed, adds up) or 'gnn' (GNNExplainer). "
                                           "Default: captum where it is installed.")] = None,
    data: Data = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Explain one mention: why the best candidate is ahead of its rival, by relation."""
    from importlib.util import find_spec

    from drin_pyg.evaluation.explain import explain_mention
    from drin_pyg.evaluation.explain_format import format_explanation
    from drin_pyg.training import load_run

    recipe, model, loaded = load_run(run, data, not quiet)
    algorithm = algorithm or ('gnn' if find_spec('captum') is None else 'captum')
    row = _mention_row(loaded, mention)
    entities = None if not candidate else [_entity_row(loaded, name) for name in candidate]
    found = explain_mention(model, loaded.tables, loaded.candidates, row, entities, algorithm=algorithm,
                            context=recipe.context)
    names = [str(item.entity) if loaded.entities is None else loaded.entities[item.entity].id for item in found]
    if json:
        candidates = [{**item.to_dict(), 'entity': name} for item, name in zip(found, names, strict=True)]
        print_json({'mention': mention, 'algorithm': algorithm, 'candidates': candidates})
        return
    if len(loaded.mentions):
        typer.echo(f"'{loaded.mentions[row].surface}' in: {loaded.mentions[row].sentence}")
    if loaded.entities is not None:
        names = [f'{name} ({loaded.entities[item.entity].name})' for item, name in zip(found, names, strict=True)]
    typer.echo(format_explanation(found, names, algorithm))


def _mention_row(data, name: str) -> int:
    rows = [i for i, mention in enumerate(data.mentions) if mention.id == name]
    if not len(data.mentions) and name.isdecimal() and int(name) < data.candidates.num_mentions:
        rows = [int(name)]
    if not rows:
        raise ValueError(f"There is no mention '{name}' among the {data.candidates.num_mentions:,} of the data")
    return rows[0]


def _entity_row(data, name: str) -> int:
    row = int(name) if data.entities is None and name.isdecimal() else -1
    if data.entities is not None:
        row = int(data.entities.rows([name])[0])
    if row < 0:
        raise ValueError(f"There is no entity '{name}' in the knowledge base")
    return row
