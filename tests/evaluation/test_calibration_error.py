import pytest
import torch

from drin_pyg.evaluation import calibration_error


@pytest.mark.parametrize('bins', [1, 7, 15])
def test_against_a_loop(bins):
    generator = torch.Generator().manual_seed(0)
    probability = torch.cat([torch.rand(200, generator=generator, dtype=torch.double), torch.tensor([0.0, 1.0, 1.0])])
    right = torch.rand(203, generator=generator) < 0.4
    expected = 0.0
    for b in range(bins):
        inside = [i for i, p in enumerate(probability.tolist())
                  if b / bins <= p < (b + 1) / bins or (p == 1 and b == bins - 1)]
        if inside:
            mean = sum(float(probability[i]) for i in inside) / len(inside)
            share = sum(bool(right[i]) for i in inside) / len(inside)
            expected += len(inside) / 203 * abs(mean - share)
    assert calibration_error(probability, right, bins) == pytest.approx(expected, abs=1e-12)


def test_by_hand():
    assert calibration_error(torch.tensor([1.0, 1.0, 0.0]), torch.tensor([True, False, False])) == pytest.approx(1 / 3)


@pytest.mark.parametrize('probability', [[], [1.1], [-0.1, 0.5], [float('nan')]])
def test_nonsense_is_named(probability):
    with pytest.raises(ValueError, match=r'0\.\.1'):
        calibration_error(torch.tensor(probability), torch.ones(len(probability), dtype=torch.bool))
