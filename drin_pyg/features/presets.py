from typing import Any

from drin_pyg.features.clip import ClipFeatures
from drin_pyg.features.encode_rows import IN_MEMORY, Encoding
from drin_pyg.features.offline import OfflineFeatures
from drin_pyg.features.paper import PaperFeatures
from drin_pyg.features.preset import Preset
from drin_pyg.features.text import TextFeatures

PRESET_CLASSES: tuple[type[Preset], ...] = (OfflineFeatures, TextFeatures, PaperFeatures, ClipFeatures)
PRESETS: dict[str, type[Preset]] = {preset.name: preset for preset in PRESET_CLASSES}


def make_preset(name: str, how: Encoding = IN_MEMORY, **options: Any) -> Preset:
    r"""A preset by its name.

    Args:
        name: ``"offline"``, ``"text"``, ``"paper"`` or ``"clip"``.
        how: How encoders are run.
        **options: Arguments of the preset's class.

    Raises:
        ValueError: If there is no such preset, or it has no such option.
    """
    if name not in PRESETS:
        raise ValueError(f"There is no preset '{name}'; there are {', '.join(PRESETS)}")
    try:
        return PRESETS[name](how=how, **options)
    except TypeError as error:
        raise ValueError(f"Preset '{name}': {error}") from error
