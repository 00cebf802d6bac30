"""`hf-transfer push`."""

from ..errors import UserError
from ..flags import Flag, parse_flags
from .common import TRACEBACK, helped

PRIVATE = Flag(
    "hub_private_repo",
    ("None", "bool"),
    help="hide a new repository from others; by default as the Hub makes it",
)
SPACE = Flag(
    "space",
    ("bool", "str"),
    help="make the page of `hf-transfer demo` a Space too: user/name, or by default the model's name with -demo",
)
EXAMPLES = Flag(
    "examples",
    ("str",),
    help="a table, or a folder of images, with inputs to try on the Space, where everybody sees them; without it none "
    "of your data is shown",
)
FLAGS = {flag.name: flag for flag in (PRIVATE, SPACE, EXAMPLES, TRACEBACK)}


def main(words: list[str]) -> None:
    usage = "hf-transfer push OUT user/name [--space [user/name]]"
    text = "Upload the finished run in OUT to the Hub, in one commit. Pushing the same files again makes no commit."
    if helped(words, usage, text, FLAGS):
        return
    if len(words) < 2 or words[0].startswith("-") or words[1].startswith("-"):
        raise UserError(f"name the output folder of a run and where to push it: {usage}")
    values = parse_flags(words[2:], FLAGS)
    folder, name, private = words[0], words[1], values.get("hub_private_repo")
    space, examples = values.get("space"), values.get("examples")
    if examples is not None and not space:
        raise UserError("--examples says what to show on a Space, which nothing asks for; add --space")

    from ..hub_push import push_folder

    if not space:
        tell(push_folder(folder, name, private=private))
        return

    from ..hub_space import prepare_space, push_space

    prepared = prepare_space(folder, name, None if space is True else space, examples)
    pushed = push_folder(folder, name, private=private)
    tell(pushed)
    tell_space(push_space(prepared, pushed, private=private))


def tell(pushed) -> None:
    """Say where a `PushedCommit` is."""
    print(f"pushed: {pushed.url}" if pushed.new else f"nothing has changed since {pushed.url}")


def tell_space(pushed) -> None:
    """Say where a `PushedSpace` is, and what it still needs."""
    print(f"Space: {pushed.url}" + ("" if pushed.new else " (nothing has changed)"))
    if pushed.needs_token:
        print(
            f"the model is private: give the Space a secret HF_TOKEN with a token that may read it "
            f"({pushed.url}/settings)"
        )
