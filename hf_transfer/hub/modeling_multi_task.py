"""One backbone and a head for each of several tasks, as an ordinary transformers model."""

import copy

from torch import nn
from transformers import AutoModelForSequenceClassification
from transformers.modeling_utils import PreTrainedModel

from .configuration_multi_task import TransferMultiTaskConfig
from .modeling_transfer import TransferForImageClassification, TransferForSequenceClassification

OURS = {"transfer_text": TransferForSequenceClassification, "transfer_image": TransferForImageClassification}


class TransferForMultiTask(PreTrainedModel):
    """Several single-task models around one backbone.

    `heads` holds of each single-task model what lies outside its backbone; the backbone it calls is the shared one,
    lent to it as a plain attribute, so that it is trained, moved and saved once.

    Args:
        config (`TransferMultiTaskConfig`): names the tasks and what each model is.
        models (`list[PreTrainedModel]`, *optional*): the single-task models, loaded, in the order of the tasks; they
            are taken apart.
    """

    config_class = TransferMultiTaskConfig
    base_model_prefix = "backbone"
    supports_gradient_checkpointing = True

    def __init__(self, config, models=None):
        super().__init__(config)
        if config.modality == "image":
            self.main_input_name = "pixel_values"
        given = models is not None
        if not given:
            models = [single_task_model(config.task_config(number)) for number in range(len(config.tasks))]
        # One class may leave out a pooler that another reads: the backbone that has the most is the shared one.
        self.backbone = max((model.base_model for model in models), key=lambda one: len(list(one.parameters())))
        self.heads = nn.ModuleList(models)
        for head in self.heads:
            del head._modules[head.base_model_prefix]
            head.__dict__[head.base_model_prefix] = self.backbone
        for module in self.modules() if given else ():
            module._is_hf_initialized = True  # loaded, or drawn by its own class
        self.post_init()

    def _init_weights(self, module):
        # As in the single-task models of ours: PyTorch's own defaults, which suit every head.
        if isinstance(module, nn.Linear | nn.LSTM):
            module.reset_parameters()

    def get_input_embeddings(self):
        return self.backbone.get_input_embeddings()

    def number_of(self, task: str | None) -> int:
        """Return the place of a task by its name; without one, of the only task."""
        names = self.config.names
        if task is None and len(names) == 1:
            return 0
        if task not in names:
            raise ValueError(f"task is {task!r}; this model has {', '.join(names)}: give one as task=NAME")
        return names.index(task)

    def forward(self, *inputs, task: str | None = None, **named):
        """Return what the single-task model of `task` returns: `logits` of shape `(batch, num_labels of the task)`."""
        return self.heads[self.number_of(task)](*inputs, **named)

    def single(self, task: str | None = None) -> PreTrainedModel:
        """Return the single-task model of `task`; it shares its parameters with this one."""
        head = self.heads[self.number_of(task)]
        view, prefix = copy.copy(head), head.base_model_prefix
        view.__dict__.pop(prefix)
        view._modules = {prefix: self.backbone, **head._modules}
        return view


def single_task_model(config) -> PreTrainedModel:
    """Build the model of one task from its configuration."""
    ours = OURS.get(config.model_type)
    if ours is not None:
        return ours(config)
    return AutoModelForSequenceClassification.from_config(config, trust_remote_code=False)
