r"""What each part of the default recipe brings: one thing changed at a time, on EmojiMEL's validation mentions.

python benchmarks/options.py [--seeds 3] [--workers 2]
"""

import argparse
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from drin_pyg.demo.run import Job, Outcome, run_job
from drin_pyg.training import Recipe

BEST = Recipe()
VARIANTS = {
    'default recipe': BEST,
    'no warm start': replace(BEST, warm_start=False),
    'margin loss': replace(BEST, loss='margin'),
    'vertices replaced, not added to (residual=False)': replace(BEST, model={'residual': False}),
    'score reads the text vertices only, margin loss': replace(BEST, model={'read_relations': False}, loss='margin'),
    'static edges': replace(BEST, model={'dynamic': False}),
    'own parameters per type (shared=False)': replace(BEST, model={'shared': False}),
    '2 layers': replace(BEST, model={'num_layers': 2}),
    '0 layers': replace(BEST, model={'num_layers': 0}),
    'mention context': replace(BEST, context='mention'),
}


def _run(job: Job) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        return run_job(job, Path(folder))


def main() -> None:
    """Parses, runs, prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--workers', type=int, default=2, help='models trained side by side, one core each')
    arguments = parser.parse_args()
    jobs = [Job(name, 'option', recipe, seed) for name, recipe in VARIANTS.items() for seed in range(arguments.seeds)]
    print('| recipe | top-1 | MRR | seconds |\n|---|---|---|---|')
    with ProcessPoolExecutor(arguments.workers, mp_context=get_context('spawn')) as pool:
        outcomes: list[Outcome] = []
        for outcome in pool.map(_run, jobs):
            outcomes.append(outcome)
            if len(outcomes) == arguments.seeds:
                top1, mrr = ([getattr(o, key) for o in outcomes] for key in ('val_top1', 'val_mrr'))
                seconds = statistics.mean(o.seconds for o in outcomes)
                print(f'| {outcome.job.name} | {_spread(top1)} | {_spread(mrr)} | {seconds:.0f} |', flush=True)
                outcomes = []


def _spread(values: list[float]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f'{statistics.mean(values):.4f} ± {deviation:.4f}'


if __name__ == '__main__':
    main()
