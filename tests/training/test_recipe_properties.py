"""Settings of any kind: a recipe with just these changes, or an error that names the field."""

from dataclasses import asdict, fields

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from drin_pyg.training import Recipe
from tests.strategies import json_values

NAMES = [field.name for field in fields(Recipe)]


@given(st.dictionaries(st.sampled_from(NAMES), json_values, max_size=4))
def test_changed_or_refused(changes):
    try:
        recipe = Recipe().changed(changes)
    except ValueError as error:
        assert any(f"'{name}'" in str(error) for name in changes)
        assert len(str(error)) < 500
        return
    for name, value in asdict(recipe).items():
        kind = type(getattr(Recipe(), name))
        assert isinstance(value, kind) or (kind is float and isinstance(value, int))
        assert isinstance(value, bool) == (kind is bool)
        if name not in changes:
            assert value == getattr(Recipe(), name)


@given(st.text(max_size=10).filter(lambda name: name not in NAMES), json_values)
def test_an_unknown_field_is_refused(name, value):
    with pytest.raises(ValueError, match='a training recipe has no'):
        Recipe().changed({name: value})


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=3) | json_values)
def test_any_yaml_is_a_recipe_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp('recipe') / 'recipe.yaml'
    path.write_bytes(yaml.safe_dump(content).encode('utf-8', 'surrogatepass'))
    try:
        assert isinstance(Recipe.load(path), Recipe)
    except ValueError as error:
        assert str(path) in str(error)
