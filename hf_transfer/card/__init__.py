"""The model card: a pure function of a result, so that every number in it comes from results.json.

Nothing heavy is imported here or in the modules beside, only inside their functions.
"""

from pathlib import Path

from ..results import RunResult
from .inherited import inherited_terms, shared_terms
from .metadata import card_data, check_metadata, front_matter
from .pictures import draw
from .sections import sections

__all__ = ["draw", "inherited_terms", "model_card", "shared_terms"]


def model_card(result: RunResult, loading_snippet: str) -> str:
    """Markdown with the YAML block the Hub reads: what the model is, how to load it, how good it is and what on.

    Args:
        result (`RunResult`): of a finished run; `data["hub_sources"]` (see `results.hub_sources`) says what may be
            named as base model and data set, the rest stays "local"; `data["pictures"]` which pictures lie beside
            the card (see `draw`).
        loading_snippet (`str`): Python lines that load the model.

    Raises:
        `UserError`: the metadata lack a key that every card has.
    """
    from jinja2 import Environment, StrictUndefined

    data = card_data(result)
    check_metadata(data.to_dict())
    page = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    template = page.from_string((Path(__file__).parent / "template.md").read_text(encoding="utf-8"))
    return template.render(metadata=front_matter(data), **sections(result, loading_snippet))
