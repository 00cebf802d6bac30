"""`hf-transfer cache list | clear`."""

from ..errors import UserError
from ..flags import parse_flags
from .common import TRACEBACK, helped


def main(words: list[str]) -> None:
    usage = "hf-transfer cache list | clear"
    text = (
        "Recorded features of frozen backbones, shared by all runs: list them, or remove them all. HF_TRANSFER_CACHE "
        "names their folder, HF_TRANSFER_CACHE_GB how large they may grow together."
    )
    if helped(words, usage, text, {"traceback": TRACEBACK}):
        return
    if not words or words[0] not in ("list", "clear"):
        raise UserError(f"say what to do with the cache: {usage}")
    parse_flags(words[1:], {"traceback": TRACEBACK})

    from ..features import cachetext

    print(cachetext.listing() if words[0] == "list" else cachetext.cleared())
