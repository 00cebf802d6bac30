"""The files of a Space that shows the page of a pushed model."""

import json
from importlib.metadata import requires
from importlib.resources import files as package_files

from ..errors import UserError
from .examples import SHOWABLE, Examples

PYTHON = "3.11"
FOLDER = "examples"
_NEEDS = {"text": ("torch", "transformers"), "image": ("torch", "torchvision", "transformers", "timm", "pillow")}


def check(page: dict) -> None:
    """Refuse a page that a Space cannot have, before anything is pushed.

    Raises:
        `UserError`: the net reads images of which transformers knows nothing.
    """
    if page.get("channels", 3) not in SHOWABLE:
        raise UserError(
            f"a Space needs a net that reads 1, 3 or 4 channels, and this one reads {page['channels']}; "
            "`hf-transfer demo` shows it on this machine"
        )


def space_files(page: dict, examples: Examples, private: bool, endpoint: str) -> dict[str, bytes]:
    """Write the files of a Space.

    Args:
        page (`dict`): of `page.page_of`, with `model`, `revision` and `trust_remote_code`.
        examples (`Examples`): inputs to try; everybody who may see the Space sees them.
        private (`bool`): the model is.
        endpoint (`str`): address of the Hub.

    Returns:
        `dict[str, bytes]`: content by name; the same arguments give the same bytes.
    """
    names = [f"{FOLDER}/{number}.png" for number in range(len(examples.pictures))]
    page = {**page, "examples": examples.texts or names}
    return {
        "README.md": _readme(page, private, endpoint).encode(),
        "app.py": (package_files(__package__) / "app.py").read_bytes(),
        "page.json": (json.dumps(page, indent=2, ensure_ascii=False) + "\n").encode(),
        "requirements.txt": "".join(f"{line}\n" for line in _requirements(page)).encode(),
        **dict(zip(names, map(_png, examples.pictures), strict=True)),
    }


def _png(picture) -> bytes:
    from io import BytesIO

    content = BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


def _readme(page: dict, private: bool, endpoint: str) -> str:
    from huggingface_hub import SpaceCardData

    metadata = SpaceCardData(
        title=page["title"], sdk="gradio", sdk_version=_floors()["gradio"], python_version=PYTHON, app_file="app.py",
        license="apache-2.0", models=[page["model"]], tags=["hf-transfer-recipes"], pinned=False,
    )  # fmt: skip
    address = f"{endpoint}/{page['model']}"
    lines = [
        f"---\n{metadata.to_yaml()}\n---",
        f"A page to try [{page['model']}]({address}), as it is in commit `{page['revision']}`. Made with "
        "hf-transfer-recipes (`hf-transfer push --space`).",
    ]
    if private:
        lines.append(
            "The model is private: this Space needs a secret named `HF_TOKEN` (under Settings) with a token that may "
            "read it, best one that may read this repository alone."
        )
    return "\n\n".join(lines) + "\n"


def _requirements(page: dict) -> list[str]:
    """Gradio itself is named by `sdk_version` in README.md."""
    floors = _floors()
    return [f"{name}>={floors[name]}" for name in _NEEDS[page["kind"]]]


def _floors() -> dict[str, str]:
    """Lowest version of each dependency of ours, which are the versions that were tested."""
    from packaging.requirements import Requirement

    wanted = [Requirement(line) for line in requires("hf-transfer-recipes") or []]
    return {one.name: spec.version for one in wanted for spec in one.specifier if spec.operator == ">="}
