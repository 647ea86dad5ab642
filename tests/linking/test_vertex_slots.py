import pytest
import torch

from drin_pyg.linking.vertex_slots import ManySlots, OneSlot

B, K, N, D = 2, 3, 4, 5  # N mention vertices: a text, or images
OWNER = torch.arange(B * K)  # one vertex a pair, which both layouts can hold


@pytest.mark.parametrize('biased', [False, True])
@pytest.mark.parametrize('shared', [False, True])  # whether the candidates of a mention see the same mention vertices
@pytest.mark.parametrize('slots', [OneSlot(torch.ones(B, K, dtype=torch.bool), full=True), ManySlots(OWNER, (B, K))],
                         ids=lambda slots: type(slots).__name__)
def test_what_is_sent_to_entities_is_a_weighted_sum(slots, shared, biased):
    u, start = torch.randn(B, 1 if shared else K, N, D), torch.randn(B * K, D)
    weight, bias = torch.randn(B, N, K), torch.randn(D)
    expected = start.clone()
    for b in range(B):
        for k in range(K):
            for i in range(N):
                expected[b * K + k] += weight[b, i, k] * u[b, 0 if shared else k, i]
            if biased:
                expected[b * K + k] += bias
    out = start.clone()
    laid_out = weight if isinstance(slots, OneSlot) else weight.transpose(0, 1).reshape(N, B * K)
    slots.add_to_entities(out, u, laid_out, bias if biased else None)
    torch.testing.assert_close(out, expected)
