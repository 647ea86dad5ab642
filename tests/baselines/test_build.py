import pytest

from drin_pyg.baselines import BASELINES, GHMFC, MELHI, PairNetwork, SingleSpace, build_baseline, needs_sequences

MADE = {'text_only': SingleSpace, 'image_only': SingleSpace, 'single_space': SingleSpace, 'pair_network': PairNetwork,
        'ghmfc': GHMFC, 'melhi': MELHI}


def test_every_name():
    assert set(BASELINES) == set(MADE)
    for name, made in MADE.items():
        model = build_baseline(name, hidden_channels=24)
        assert type(model) is made
        assert model.hidden_channels == 24
        assert needs_sequences(name) == (made in (GHMFC, MELHI))
    assert build_baseline('image_only').modalities == ('image', )


def test_unknown_name():
    for function in (build_baseline, needs_sequences):
        with pytest.raises(ValueError, match="no baseline 'clip'; there are text_only, image_only, single_space"):
            function('clip')
