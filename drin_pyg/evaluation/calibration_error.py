from torch import Tensor
from torch_geometric.utils import scatter


def calibration_error(probability: Tensor, right: Tensor, bins: int = 15) -> float:
    r"""Expected calibration error: how far probabilities are from how often they hold, on average.

    .. math::
        \sum_b \frac{|b|}{M} \bigl| \overline{p}_b - \overline{y}_b \bigr|

    over ``bins`` bins :math:`b` of equal width, from `"Obtaining Well Calibrated Probabilities Using
    Bayesian Binning" <https://doi.org/10.1609/aaai.v29i1.9602>`_ (AAAI 2015).

    Args:
        probability: Stated probabilities in 0..1, ``[M]``.
        right: Whether each held, bool ``[M]``.
        bins: Number of bins.

    Raises:
        ValueError: If there are none, or they lie outside 0..1.
    """
    if probability.numel() == 0 or not bool(((probability >= 0) & (probability <= 1)).all()):
        raise ValueError("Probabilities must lie in 0..1, and there must be one at least")
    place = (probability * bins).long().clamp(max=bins - 1)
    gap = scatter(probability.double() - right.double(), place, dim_size=bins)
    return float(gap.abs().sum() / probability.numel())
