"""Transfer-learning recipes for Hugging Face checkpoints.

The public names are loaded on first use, so that naming, listing or explaining a recipe imports neither torch nor
transformers.
"""

from importlib import import_module

__version__ = "0.1.0"

_WHERE = {
    "AttentionHead": "hf_transfer.heads",
    "BSS": "hf_transfer.objectives",
    "BitFit": "hf_transfer.strategies",
    "CDAN": "hf_transfer.objectives.domain",
    "CORAL": "hf_transfer.objectives.domain",
    "CoTuning": "hf_transfer.objectives",
    "Contrastive": "hf_transfer.strategies",
    "DANN": "hf_transfer.objectives.domain",
    "DELTA": "hf_transfer.objectives",
    "DensityRatio": "hf_transfer.reweighting",
    "Distillation": "hf_transfer.objectives",
    "EntropyMinimisation": "hf_transfer.objectives.domain",
    "FreezeBatchNorm": "hf_transfer.transforms",
    "FrozenFeatures": "hf_transfer.strategies",
    "FullFineTune": "hf_transfer.strategies",
    "FusedBackbone": "hf_transfer.backbones",
    "GRUHead": "hf_transfer.heads",
    "GradualUnfreeze": "hf_transfer.strategies",
    "ImageBackbone": "hf_transfer.backbones",
    "ImageClassification": "hf_transfer.data",
    "KLIEP": "hf_transfer.reweighting",
    "KMM": "hf_transfer.reweighting",
    "L2SP": "hf_transfer.objectives",
    "LSTMHead": "hf_transfer.heads",
    "LayerFusion": "hf_transfer.backbones",
    "LinearHead": "hf_transfer.heads",
    "LoRA": "hf_transfer.strategies",
    "MCC": "hf_transfer.objectives.domain",
    "MLPHead": "hf_transfer.heads",
    "MMD": "hf_transfer.objectives.domain",
    "MaskedLMHead": "hf_transfer.pretraining.heads",
    "NativeHead": "hf_transfer.heads",
    "PartialFineTune": "hf_transfer.strategies",
    "Pipeline": "hf_transfer.recipe",
    "ProjectionHead": "hf_transfer.pretraining.heads",
    "PseudoLabels": "hf_transfer.objectives.domain",
    "RawImages": "hf_transfer.data",
    "RawText": "hf_transfer.data",
    "Recipe": "hf_transfer.recipe",
    "ReinitTop": "hf_transfer.transforms",
    "RunResult": "hf_transfer.results",
    "SourceTarget": "hf_transfer.data",
    "Stage": "hf_transfer.recipe",
    "StochNorm": "hf_transfer.transforms",
    "Supervised": "hf_transfer.objectives",
    "TaskMixture": "hf_transfer.data",
    "TextBackbone": "hf_transfer.backbones",
    "TextClassification": "hf_transfer.data",
    "TextImageClassification": "hf_transfer.data",
    "TrAdaBoost": "hf_transfer.reweighting",
    "UserError": "hf_transfer.errors",
    "WeightedSum": "hf_transfer.objectives",
    "export_task": "hf_transfer.multitask.exporting",
    "list_recipes": "hf_transfer.recipe_files",
    "load": "hf_transfer.predictor",
    "load_recipe": "hf_transfer.recipe_files",
    "run": "hf_transfer.runner",
    "run_seeds": "hf_transfer.seeds",
    "soup": "hf_transfer.ensemble",
    "wise_ft": "hf_transfer.ensemble",
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
