"""What a model of several tasks is made of: the single-task configuration of each, around one backbone."""

from transformers import AutoConfig
from transformers.configuration_utils import PreTrainedConfig

from .configuration_transfer import TransferImageConfig, TransferTextConfig

OURS = {TransferTextConfig.model_type: TransferTextConfig, TransferImageConfig.model_type: TransferImageConfig}


class TransferMultiTaskConfig(PreTrainedConfig):
    """Configuration of [`TransferForMultiTask`].

    Args:
        backbone_config (`PreTrainedConfig` or `dict`): the shared backbone's own configuration.
        tasks (`list[dict]`): of each task its `name` and `model`, the configuration of its single-task model. A list,
            as the keys of a mapping are sorted when it is saved.
        modality (`str`): `"text"` or `"image"`.
        pretrained_cfg (`dict`, *optional*), architecture (`str`, *optional*): of images, where timm's image processor
            looks for them.
    """

    model_type = "transfer_multi_task"

    def __init__(
        self, backbone_config=None, tasks=None, modality="text", pretrained_cfg=None, architecture=None, **kwargs
    ):
        if isinstance(backbone_config, dict):
            backbone_config = AutoConfig.for_model(**backbone_config)
        self.backbone_config = backbone_config
        self.tasks = list(tasks or [])
        self.modality = modality
        if modality == "image":
            self.pretrained_cfg, self.architecture = pretrained_cfg, architecture
            self.image_processor_type = "TimmWrapperImageProcessor"
            kwargs.pop("image_processor_type", None)
        super().__init__(**kwargs)

    @property
    def names(self) -> list[str]:
        """The tasks, in order."""
        return [task["name"] for task in self.tasks]

    def task_config(self, number: int) -> PreTrainedConfig:
        """Return the configuration of the single-task model of one task."""
        content = dict(self.tasks[number]["model"])
        ours = OURS.get(content["model_type"])
        return AutoConfig.for_model(**content) if ours is None else ours(**content)
