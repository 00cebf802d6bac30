"""The card on its way to the Hub: named after the repository, and shown to the Hub before anything is sent."""

import json
import re

from .errors import UserError

# The loading lines of a card, as `report.loading_snippet` writes them.
_LOADING = re.compile(r'model="MODEL"(.*?\))(?: *# MODEL: a folder or Hub id)?')


def named(card: str, repo_id: str) -> str:
    """Return a card whose lines hold the name of its repository, so that a stranger can paste them."""
    card = card.replace("`hf-transfer run hub://user/name`", f"`hf-transfer run hub://{repo_id}`")
    card = card.replace('folder = "MODEL"  # a folder or Hub id', f'folder = "{repo_id}"')  # of a fused model
    return _LOADING.sub(lambda found: f'model="{repo_id}"{found[1]}', card)


def check_card(card: str) -> None:
    """Ask the Hub whether it takes the metadata of a card.

    Args:
        card (`str`): README.md as it will be pushed.

    Raises:
        `UserError`: the metadata cannot be read; the Hub was not asked.
        `ValueError`: the Hub refuses them, and says why. What the network raises passes.
    """
    import yaml
    from huggingface_hub import ModelCard

    class AsWritten(ModelCard):
        """Validates the very text that is pushed; the parent class would send its own rewriting of it."""

        def __str__(self) -> str:
            return card

    try:
        read = AsWritten(card)
    except (ValueError, TypeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"the metadata at the top of README.md cannot be read: {reason}; mend it there") from None
    try:
        read.validate()
    except ValueError as error:
        raise ValueError(f"Invalid metadata in README.md. {_reasons(str(error))}") from error


def _reasons(answer: str) -> str:
    """What the Hub says is wrong, from its JSON or its plain text."""
    try:
        errors = json.loads(answer)["errors"]
    except (ValueError, KeyError, TypeError):
        lines = [re.sub(r"^[-\s]*(Error: )?", "", line) for line in answer.splitlines()]
    else:
        lines = [str(one.get("message") if isinstance(one, dict) else one) for one in errors]
    return "; ".join(line.strip() for line in lines if line.strip())
