"""Single-task models to one model of several tasks, and back."""

import json

from torch import nn


def join_models(models: dict, modality: str) -> nn.Module:
    """Return a `TransferForMultiTask` of single-task models that `build_model` made; they are taken apart.

    Args:
        models (`dict[str, PreTrainedModel]`): by task; their backbones hold the same weights.
        modality (`str`): `"text"` or `"image"`.
    """
    from ..hub import TransferForMultiTask, TransferMultiTaskConfig

    if modality == "image":
        models = {task: as_transfer(model) for task, model in models.items()}
    first = next(iter(models.values()))
    encoder = getattr(first.config, "backbone_config", first.config)
    picture = {name: getattr(first.config, name, None) for name in ("pretrained_cfg", "architecture")}
    config = TransferMultiTaskConfig(
        backbone_config=encoder,
        tasks=[{"name": task, "model": _plain(model.config)} for task, model in models.items()],
        modality=modality,
        pad_token_id=getattr(first.config, "pad_token_id", None),
        **(picture if modality == "image" else {}),
    )
    joint = TransferForMultiTask(config, models=list(models.values()))
    return joint.to(first.device).train()


def stand_alone(model, task: str) -> nn.Module:
    """Return a copy of one task's single-task model, of a stock class where one is exact, on the CPU.

    Args:
        model (`TransferForMultiTask`): the model of several tasks.
        task (`str`): its name.
    """
    from ..hub.modeling_multi_task import single_task_model

    view = model.single(task)
    alone = single_task_model(model.config.task_config(model.number_of(task)))
    weights = view.state_dict()  # of the shared backbone it may hold a pooler that only another task reads
    alone.load_state_dict({name: weights[name] for name in alone.state_dict()})
    return as_stock(alone).eval()


def as_transfer(model) -> nn.Module:
    """Return a timm net with its own last layer as a backbone with a linear head, whose backbone others can share."""
    from transformers import TimmWrapperModel

    from ..hub import TransferForImageClassification, TransferImageConfig

    if model.config.model_type != "timm_wrapper":
        return model
    classifier = _linear(model)
    config = TransferImageConfig(
        backbone_config=model.config,
        head={"kind": "linear"},
        pooling="pooler",
        pretrained_cfg=model.config.pretrained_cfg,
        architecture=model.config.architecture,
        **_names(model.config),
    )
    backbone = TimmWrapperModel(model.config)
    weights = model.timm_model.state_dict()
    backbone.timm_model.load_state_dict({name: weights[name] for name in backbone.timm_model.state_dict()})
    result = TransferForImageClassification(config, backbone=backbone)
    result.head.out.load_state_dict(classifier.state_dict())
    return result.to(model.device).train(model.training)


def as_stock(model) -> nn.Module:
    """Undo [`as_transfer`]: the stock class of a timm net where the head is its own last layer; else `model`."""
    from transformers import TimmWrapperForImageClassification

    from ..assembly.configuring import write_names
    from ..assembly.images import has_dense_top

    config = model.config
    exact = config.model_type == "transfer_image" and config.layer is None and config.pooling == "pooler"
    linear = exact and config.head["kind"] == "linear" and not config.head.get("dropout")
    if not linear or has_dense_top(model.backbone.timm_model):
        return model
    write_names(config.backbone_config, _names(config))
    stock = TimmWrapperForImageClassification(config.backbone_config)
    stock.timm_model.load_state_dict(model.backbone.timm_model.state_dict(), strict=False)
    _linear(stock).load_state_dict(model.head.out.state_dict())
    return stock


def _linear(model) -> nn.Linear:
    from ..errors import UserError

    layer = model.timm_model.get_classifier()
    if not isinstance(layer, nn.Linear):
        raise UserError(
            f"backbone {model.config.architecture!r} has no single linear layer for a NativeHead to be; in a "
            "TaskMixture give it MLPHead or LSTMHead"
        )
    return layer


def _names(config) -> dict:
    return dict(
        id2label=dict(config.id2label),
        label2id=dict(config.label2id),
        num_labels=config.num_labels,
        problem_type=config.problem_type,
    )


def _plain(config) -> dict:
    content = json.loads(config.to_json_string(use_diff=False))
    for name in ("_name_or_path", "transformers_version"):  # said once, of the model as a whole
        content.pop(name, None)
    return content
