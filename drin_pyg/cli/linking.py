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
    from drin_pyg.linking import EntityIndex
    from drin_pyg.linking.index_folder import MANIFEST
    from drin_pyg.linking.linker import INDEX
    from drin_pyg.training import load_run

    if (run / INDEX / MANIFEST).exists() and not force:
        raise FileExistsError(f"'{run}' holds an index; --force writes over it")
    _, model, data = load_run(run, progress=not quiet)
    if data.entities is None:
        raise ValueError(f"The data of '{run}' came as features alone; there is no knowledge base to link against")
    built = EntityIndex.build(model, side_tables(data.tables)[1], [entity.id for entity in data.entities],
                              dtype=getattr(torch, dtype), folder=run / INDEX, progress=not quiet, overwrite=force)
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
                                                'input. Or a parquet file, or a folder of some, with such columns.')],
    out: Annotated[Path, typer.Option(help='File for the links, one JSON object a line; - writes standard output. Of '
                                           'parquet, a folder.')],
    k: K = 5,
    batch_size: Annotated[int | None, typer.Option(min=1, help='JSON lines: mentions handled at once. Default: '
                                                               '64.')] = None,
    on_error: Annotated[Literal['raise', 'yield'],
                        typer.Option(help="What to do with a mention that cannot be linked: stop ('raise'; links of "
                                          "lines are not written then, finished files of parquet stay), or write "
                                          "what is wrong in its place ('yield').")] = 'raise',
    engine: Annotated[Literal['stream', 'local', 'ray'] | None,
                      typer.Option(help="Who does it. 'stream': this process, line by line, the default for JSON "
                                        "lines. 'local': this process, parquet to parquet, the default for parquet. "
                                        "'ray': the same by Ray Data, on one machine or many.")] = None,
    shard: Annotated[int | None, typer.Option(min=1, help='Parquet: mentions of each file of the output. Default: '
                                                          '4096.')] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="'ray': processes that link. Default: one for each "
                                                            "processor.")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Link mentions, however many there are: line by line, or parquet to parquet in pieces, on many machines too."""
    parquet = source.is_dir() or source.suffix == '.parquet'
    engine = engine or ('local' if parquet else 'stream')
    if parquet == (engine == 'stream'):
        raise ValueError(f"The engine '{engine}' reads {'JSON lines' if parquet else 'parquet'}, and '{source}' is "
                         f"none; choose {'local or ray' if parquet else 'stream'}")
    idle = {'--batch-size': batch_size if parquet else None, '--shard': None if parquet else shard,
            '--workers': None if engine == 'ray' else workers}
    if said := [name for name, value in idle.items() if value is not None]:
        raise ValueError(f"{said[0]} means nothing to the engine '{engine}'; leave it out")
    if parquet and out == STANDARD:
        raise ValueError('Links of parquet are written to a folder; name one (--out)')
    if parquet:
        linked, errors = _link_parquet(run, source, out, k, on_error, engine, shard, workers, quiet)
    else:
        linked, errors = _link_lines(run, source, out, k, batch_size or 64, on_error, quiet)
    beside = out == STANDARD  # the links are on standard output
    if json:
        print_json({'links': str(out), 'linked': linked, 'not_linked': errors}, err=beside)
    else:
        typer.echo(f'{linked:,} mentions linked, {errors:,} could not be. Links: {out}', err=beside)


def _link_parquet(run: Path, source: Path, out: Path, k: int, on_error: str, engine: str, shard: int | None,
                  workers: int | None, quiet: bool) -> tuple[int, int]:
    from functools import partial

    from tqdm import tqdm

    from drin_pyg.linking import Linker
    from drin_pyg.linking.bulk_job import SHARD, BulkJob, link_locally, run_key
    from drin_pyg.linking.ray_engine import check_index, link_on_ray

    make_linker = partial(Linker.from_pretrained, run)
    job = BulkJob(source.resolve(), out.resolve(), run_key(run), k, shard or SHARD, on_error)
    with tqdm(total=sum(piece.rows for piece in job.shards), desc='Linking', unit='mention',
              disable=quiet) as bar:
        if engine == 'ray':
            check_index(run)
            link_on_ray(job, make_linker, bar.update, workers)
        else:
            link_locally(job, make_linker, bar.update)
    return job.finish()


def _link_lines(run: Path, source: Path, out: Path, k: int, batch_size: int, on_error: str,
                quiet: bool) -> tuple[int, int]:
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
    return counts[False], counts[True]
