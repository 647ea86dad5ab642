"""Bulk linking in a Ray of two processors: ``link_on_ray.py RUN SOURCE OUT NOTES``. A process of its own, as Ray leaves
threads, sockets and warnings behind."""

import os
import sys
from pathlib import Path

os.environ['RAY_USAGE_STATS_ENABLED'] = '0'

import ray

from drin_pyg.cli import main
from drin_pyg.linking.bulk_job import run_key
from drin_pyg.linking.ray_engine import link_on_ray
from tests.linking.bulk_world import KilledJob, Making


def link():
    run, source, out, notes = map(Path, sys.argv[1:])
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=200 * 2**20, logging_level='error')
    try:
        job = KilledJob(source, out / 'killed', run_key(run), shard=8, notes=notes)
        told = []
        link_on_ray(job, Making(run, notes), told.append, workers=2)
        print('told', sum(told), 'finished', *job.finish())
        assert ray.is_initialized()  # it was not theirs to end
        sys.argv[1:] = ['link-many', str(run), str(source), '--out', str(out / 'command'), '--engine', 'ray', '--shard',
                        '16', '--workers', '1', '-q']
        main()
    finally:
        ray.shutdown()


if __name__ == '__main__':
    link()
