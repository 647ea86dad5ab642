from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import typer

from drin_pyg.cli.app import Json, Quiet, app, print_json
from drin_pyg.cli.complete import complete_run

Run = Annotated[Path, typer.Argument(help='Folder of a trained run, such as report/best.',
                                     autocompletion=complete_run)]
K = Annotated[int, typer.Option('-k', min=1, help='Candidates of each mention to give out.')]
STANDARD = Path('-')


@app.command()
def link(
    run: Run,
    sentence: Annotated[str, typer.Option(help='The text around the mention.')],
    mention: Annotated[str, typer.Option(help='The words that mention the entity.')],
    image: Annotated[list[Path] | None,
                     typer.Option(help='Image beside the text. Repeatable; may be left out.')] = None,
    candidate: Annotated[list[str] | None, typer.Option(help='Entity id to compare. Repeatable; default: 32 are '
                                                             'retrieved.')] = None,
    k: K = 5,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Link one mention: ranked candidates, whether any is meant (NIL), and the relation weights that explain it."""
    from drin_pyg.linking import Linker, format_link

    found = Linker.from_pretrained(run, not quiet).link(sentence, mention, image or (), candidate, k)
    print_json(found.to_dict()) if json else typer.echo(format_link(found))


@app.command()
def index(
    run: Run,
    dtype: Annotated[Literal['float32', 'bfloat16', 'float16'],
                     typer.Option(help='What is stored; half precision takes half the space.')] = 'float32',
    force: Annotated[bool, typer.Option('--force', help='Write over an index that is there.')] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Store what scoring needs of a run's knowledge base, so that `link` maps it from disk instead of computing it."""
    import torch

    from drin_pyg.features.side_tables import side_tables
    from drin_pyg.files import claim
    from drin_pyg.linking import EntityIndex
    from drin_pyg.linking.entity_index import MANIFEST
    from drin_pyg.linking.linker import INDEX
    from drin_pyg.training import load_run

    _, model, data = load_run(run, progress=not quiet)
    if data.entities is None:
        raise ValueError(f"The data of '{run}' came as features alone; there is no knowledge base to link against")
    with claim(run / INDEX):
        if (run / INDEX / MANIFEST).exists():
            if not force:
                raise FileExistsError(f"'{run}' holds an index; --force writes over it")
            (run / INDEX / MANIFEST).unlink()  # its parts go when the new ones are there
    built = EntityIndex.build(model, side_tables(data.tables)[1], [entity.id for entity in data.entities],
                              dtype=getattr(torch, dtype), folder=run / INDEX, progress=not quiet)
    size = sum(path.stat().st_size for path in (run / INDEX).iterdir())
    if json:
        print_json({'folder': str(run / INDEX), 'entities': len(built), 'bytes': size, 'dtype': dtype})
        return
    typer.echo(f'{len(built):,} entities, {size / 2**20:,.0f} MiB: {run / INDEX}')


@app.command()
def link_many(
    run: Run,
    source: Annotated[Path, typer.Argument(help='Mentions, one JSON object a line: sentence, mention, and perhaps id, '
                                                'images (relative to the file) and candidates. - reads standard '
                                                'input.')],
    out: Annotated[Path, typer.Option(help='File for the links, one JSON object a line. - writes standard output.')],
    k: K = 5,
    batch_size: Annotated[int, typer.Option(min=1, help='Mentions handled at once.')] = 64,
    on_error: Annotated[Literal['raise', 'yield'],
                        typer.Option(help="What to do with a line that cannot be linked: stop and write nothing "
                                          "('raise'), or write what is wrong in its place ('yield').")] = 'raise',
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Link mentions line by line, however many there are."""
    import sys
    from json import dumps

    from tqdm import tqdm

    from drin_pyg.files import open_atomic
    from drin_pyg.linking import Linker, LinkError

    linker = Linker.from_pretrained(run, not quiet)
    counts = {False: 0, True: 0}
    with nullcontext(sys.stdin.buffer) if source == STANDARD else open(source, 'rb') as lines, \
            nullcontext(sys.stdout.buffer) if out == STANDARD else open_atomic(out) as file:
        records = (line for line in lines if line.strip())
        found = linker.link_many(records, k, batch_size=batch_size, on_error=on_error,
                                 folder=None if source == STANDARD else source.parent)
        for item in tqdm(found, 'Linking', unit='mention', disable=quiet):
            counts[isinstance(item, LinkError)] += 1
            file.write(dumps(item.to_dict(), ensure_ascii=False).encode('utf-8', 'backslashreplace') + b'\n')
            if out == STANDARD:
                file.flush()  # somebody may be waiting for it
    if json:  # beside the links, if they are on standard output
        print_json({'links': str(out), 'linked': counts[False], 'not_linked': counts[True]}, err=out == STANDARD)
        return
    typer.echo(f'{counts[False]:,} mentions linked, {counts[True]:,} could not be. Links: {out}', err=out == STANDARD)
