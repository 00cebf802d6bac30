"""`hf-transfer list`."""

from ..flags import parse_flags
from ..recipe_files import list_recipes
from .common import TRACEBACK, helped


def main(words: list[str]) -> None:
    if helped(words, "hf-transfer list", "Name the recipes.", {"traceback": TRACEBACK}):
        return
    parse_flags(words, {"traceback": TRACEBACK})
    recipes = list_recipes()
    width = max(map(len, recipes), default=0)
    for name, summary in recipes.items():
        print(f"{name:{width}}  {summary}")
