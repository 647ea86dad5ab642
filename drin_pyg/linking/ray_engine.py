r"""Bulk linking by Ray Data: actors on one machine or many, each with a linker of its own over one mapped index."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from drin_pyg.linking.bulk_job import BulkJob, Shard
from drin_pyg.linking.index_folder import MANIFEST
from drin_pyg.linking.linker import INDEX, Linker
from drin_pyg.nn import DRIN

OBJECT_STORE = 200 * 2**20  # bytes of a Ray of our own: numbers of shards go through it, and nothing else
CPUS_BESIDE = 1  # of a Ray of our own, for what Ray Data does beside the actors


def check_index(run: Path) -> None:
    r"""Raises FileNotFoundError if actors could not map one index of the run, and each would make its own."""
    if not DRIN.from_pretrained(run / 'model').vector_edges and not (run / INDEX / MANIFEST).is_file():
        raise FileNotFoundError(f"'{run}' has no index for several processes to share; make it with `drin-pyg index "
                                f"{run}`")


class ShardLinker:
    r"""An actor: links the shards whose numbers it is given.

    Args:
        job: The job.
        make_linker: Makes the linker.
    """

    def __init__(self, job: BulkJob, make_linker: Callable[[], Linker]):
        self.job = job
        self.linker = make_linker()

    def __call__(self, batch: dict) -> dict:
        """Numbers of shards to how many mentions each has; what is wrong with the input comes as text."""
        rows, errors = [], []
        for number in batch['number'].tolist():
            try:
                rows.append(self.job.run(self.linker, self.job.shards[number]))
                errors.append('')
            except (ValueError, OSError) as error:  # not for Ray to try again
                rows.append(0)
                errors.append(str(error))
        return {'rows': rows, 'error': errors}


def link_on_ray(job: BulkJob, make_linker: Callable[[], Linker], progress: Callable[[int], object],
                workers: int | None = None) -> None:
    r"""Does what is left of a job with Ray Data.

    A Ray that is there is used: the one this process is connected to, or that of ``RAY_ADDRESS``; all of its machines
    must see the run, the input and the output under the same paths. Otherwise one is started here and ended.

    An actor that dies is started again and does its shard again, as often as it takes (Ray Data's default).

    Args:
        job: The job.
        make_linker: Makes the linker, in every actor; it is sent to them.
        progress: Told of the mentions of each shard, also of those that were there.
        workers: Actors; by default one for each processor of the Ray that is there, or of this machine.

    Raises:
        BlockingIOError: If another process does this job.
        ImportError: If Ray is not installed.
        ValueError: As :meth:`BulkJob.run`, or what the system says of a shard; shards that are done stay.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ImportError("The engine 'ray' needs Ray Data; install it with `pip install 'drin_pyg[ray]'`") from error
    with job.begin() as left:
        progress(sum(shard.rows for shard in job.shards) - sum(shard.rows for shard in left))
        if left:
            _link(ray, job, left, make_linker, progress, workers)


def _link(ray, job: BulkJob, left: list[Shard], make_linker: Callable[[], Linker], progress: Callable[[int], object],
          workers: int | None) -> None:
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
    own = not ray.is_initialized()
    if own and 'RAY_ADDRESS' in os.environ:
        ray.init(logging_level='error')
    elif own:
        workers = workers or os.cpu_count() or 1
        ray.init(num_cpus=workers + CPUS_BESIDE, include_dashboard=False, object_store_memory=OBJECT_STORE,
                 logging_level='error')
    context, log = ray.data.DataContext.get_current(), logging.getLogger('ray.data')
    before = context.enable_progress_bars, log.level
    try:
        context.enable_progress_bars = False  # there is one for mentions
        log.setLevel(logging.ERROR)
        workers = min(workers or max(1, int(ray.cluster_resources()['CPU'])), len(left))
        numbers = ray.data.from_items([{'number': shard.number} for shard in left], override_num_blocks=len(left))
        done = numbers.map_batches(ShardLinker, fn_constructor_args=(job, make_linker), batch_size=1,
                                   compute=ray.data.ActorPoolStrategy(size=workers), num_cpus=1)
        for row in done.iter_rows():
            if row['error']:
                raise ValueError(row['error'])
            progress(row['rows'])
    finally:
        context.enable_progress_bars = before[0]
        log.setLevel(before[1])
        if own:
            ray.shutdown()
