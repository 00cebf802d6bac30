"""Transfer-learning recipes for Hugging Face checkpoints.

The public names are loaded on first use, so that naming, listing or explaining a recipe imports neither torch nor
transformers.
"""

from importlib import import_module

__version__ = "0.1.0"

_WHERE = {
    "FrozenFeatures": "hf_transfer.strategies",
    "FullFineTune": "hf_transfer.strategies",
    "ImageBackbone": "hf_transfer.backbones",
    "ImageClassification": "hf_transfer.data",
    "LSTMHead": "hf_transfer.heads",
    "LinearHead": "hf_transfer.heads",
    "MLPHead": "hf_transfer.heads",
    "NativeHead": "hf_transfer.heads",
    "Recipe": "hf_transfer.recipe",
    "RunResult": "hf_transfer.results",
    "Supervised": "hf_transfer.objectives",
    "TextBackbone": "hf_transfer.backbones",
    "TextClassification": "hf_transfer.data",
    "UserError": "hf_transfer.errors",
    "list_recipes": "hf_transfer.recipe_files",
    "load": "hf_transfer.predictor",
    "load_recipe": "hf_transfer.recipe_files",
    "run": "hf_transfer.runner",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str):
    if name not in _WHERE:
        raise AttributeError(f"module 'hf_transfer' has no attribute {name!r}")
    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_WHERE})
