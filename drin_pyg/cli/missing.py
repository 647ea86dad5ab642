r"""What to install where a command needs a library that is not there."""

# Libraries that are imported without a word of their own, and the extra that brings each.
EXTRAS = {
    'PIL': 'image',
    'bm25s': 'retrieval',
    'captum': 'explain',
    'gradio': 'explore',
    'huggingface_hub': 'hub',
    'imagehash': 'image',
    'lightning': 'train',
    'matplotlib': 'demo',
    'rapidfuzz': 'retrieval',
    'scipy': 'train',
    'skimage': 'demo',
    'sklearn': 'train',
    'timm': 'image',
    'torchvision': 'image',
    'transformers': 'text',
    'yaml': 'train',
}


def missing_module(error: ModuleNotFoundError) -> str:
    r"""One line that names the extra."""
    name = (error.name or '').split('.')[0]
    if name not in EXTRAS:
        return str(error)
    return f"This needs '{name}', which is not installed; run `pip install 'drin_pyg[{EXTRAS[name]}]'`, or " \
           f"'drin_pyg[all]' for everything"
