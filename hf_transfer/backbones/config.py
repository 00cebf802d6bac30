"""A checkpoint's configuration, and whether one of our own runs wrote it."""

from ..errors import UserError
from .checkpoint import reach
from .trust import check_trust


def load_config(checkpoint: str, revision: str | None, trust_remote_code: bool | None = None):
    """Load a checkpoint's configuration.

    Args:
        checkpoint (`str`), revision (`str`, *optional*): where it is.
        trust_remote_code (`bool`, *optional*): whether its code may be run; none where that could not help.

    Raises:
        `UserError`: there is none, or it needs code that may not be run; the line says what to do.
    """
    from transformers import AutoConfig

    from .. import hub  # noqa: F401  registers our classes, so the copy of them in a folder is never run

    if trust_remote_code:
        check_trust(checkpoint, revision)
    with reach(checkpoint, "a configuration", code=trust_remote_code is not None):
        return AutoConfig.from_pretrained(checkpoint, revision=revision, trust_remote_code=bool(trust_remote_code))


def finished_config(checkpoint: str, config):
    """Return `config` if it is that of a backbone with a head of ours, as a finished run saves it, else `None`.

    Raises:
        `UserError`: it is, and does not say what its backbone is.
    """
    if config.model_type == "transfer_fused":
        raise UserError(
            f"checkpoint {checkpoint!r} is a fused model, which has two networks; take one of the checkpoints that it "
            "was made from"
        )
    if config.model_type == "transfer_multi_task":
        raise UserError(
            f"checkpoint {checkpoint!r} has several tasks; export one first (hf-transfer export OUT --task NAME "
            "--output DIR) and take that"
        )
    if config.model_type not in ("transfer_text", "transfer_image"):
        return None
    if config.backbone_config is None:
        raise UserError(f"config.json of checkpoint {checkpoint!r} is damaged: it lacks backbone_config")
    return config
