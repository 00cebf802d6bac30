"""The only code that leaves the user's machine: a flat folder that travels to the Hub with a model.

Importing it registers the classes with the Auto factories, so that a saved model loads without `trust_remote_code`.
Nothing in here may import `hf_transfer` (a stranger would be told to install an unrelated package of that name) or
timm (a stranger who loads a text model would be asked for it).
"""

from transformers import AutoConfig, AutoModel, AutoModelForImageClassification, AutoModelForSequenceClassification

from .configuration_fused import TransferFusedConfig
from .configuration_multi_task import TransferMultiTaskConfig
from .configuration_transfer import TransferImageConfig, TransferTextConfig
from .modeling_fused import TransferForFusedClassification
from .modeling_multi_task import TransferForMultiTask
from .modeling_transfer import TransferForImageClassification, TransferForSequenceClassification

AutoConfig.register(TransferTextConfig.model_type, TransferTextConfig, exist_ok=True)
AutoConfig.register(TransferImageConfig.model_type, TransferImageConfig, exist_ok=True)
AutoConfig.register(TransferMultiTaskConfig.model_type, TransferMultiTaskConfig, exist_ok=True)
AutoModel.register(TransferMultiTaskConfig, TransferForMultiTask, exist_ok=True)
AutoModelForSequenceClassification.register(TransferTextConfig, TransferForSequenceClassification, exist_ok=True)
AutoModelForImageClassification.register(TransferImageConfig, TransferForImageClassification, exist_ok=True)
# One configuration class has one kind of parts or another, and is asked for accordingly.
AutoConfig.register(TransferFusedConfig.model_type, TransferFusedConfig, exist_ok=True)
AutoModelForSequenceClassification.register(TransferFusedConfig, TransferForFusedClassification, exist_ok=True)
AutoModelForImageClassification.register(TransferFusedConfig, TransferForFusedClassification, exist_ok=True)

__all__ = [
    "TransferForFusedClassification",
    "TransferForImageClassification",
    "TransferForMultiTask",
    "TransferForSequenceClassification",
    "TransferFusedConfig",
    "TransferImageConfig",
    "TransferMultiTaskConfig",
    "TransferTextConfig",
]
