import numpy as np


def paired_test(a: np.ndarray, b: np.ndarray, num_resamples: int = 9999, seed: int = 0) -> float:
    r"""Two-sided p-value that two systems, judged on the same mentions, are equally good.

    A permutation test over mentions (:func:`scipy.stats.permutation_test` of paired samples): the
    two systems' results on a mention are swapped at random. Average a system's results over seeds
    first; what is tested then is whether the gain carries over to other mentions.

    Args:
        a: Result of the first system on each mention (1 for a hit, or a mean over seeds), ``[M]``.
        b: The same of the second system.
        num_resamples: Number of random swaps; the smallest possible p is ``2 / (num_resamples + 1)``.
        seed: Seed of the swaps.
    """
    from scipy.stats import permutation_test

    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"Both systems need one result per mention, got {a.shape} and {b.shape}")
    result = permutation_test(
        (a, b),
        lambda x, y, axis: (x - y).mean(axis=axis),
        permutation_type='samples',
        vectorized=True,
        n_resamples=num_resamples,
        batch=1000,
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)
