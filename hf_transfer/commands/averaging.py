"""`hf-transfer average`: WiSE-FT and soups of finished runs."""

from ..errors import UserError
from ..flags import Flag, parse_flags
from .common import TRACEBACK, TRUST, helped

METHODS = ("wise_ft", "uniform", "greedy")
FLAGS = {
    flag.name: flag
    for flag in (
        Flag("method", ("str",), default="uniform", help="how to average", choices=METHODS),
        Flag("output_dir", ("str",), help="where the averaged model goes"),
        Flag("alphas", ("str",), help="for wise_ft: shares of OUT2 to try, such as 0,0.5,1; by default tenths"),
        Flag("data.test", ("str",), help="for wise_ft: a second labelled test set, from another source"),
        Flag("overwrite", ("bool",), help="replace the result in --output_dir; other files there stay"),
        TRUST,
        TRACEBACK,
    )
}


def main(words: list[str]) -> None:
    usage = "hf-transfer average OUT1 OUT2 [OUT3 ...] --output_dir OUT"
    text = (
        "Average the weights of finished runs of one checkpoint and one head; the result is saved and measured like "
        "any other run's. wise_ft takes two, a start such as a linear probe and the fine-tuned model, and chooses "
        "between them on the validation rows. uniform and greedy take the mean of several; greedy keeps those with "
        "which it is not worse on the validation rows."
    )
    if helped(words, usage, text, FLAGS):
        return
    count = next((number for number, word in enumerate(words) if word.startswith("-")), len(words))
    runs, values = words[:count], parse_flags(words[count:], FLAGS)
    method, output_dir = values.get("method", "uniform"), values.get("output_dir")
    if len(runs) < 2:
        raise UserError(f"name the output folders of two runs or more: {usage}")
    if not output_dir:
        raise UserError(f"--output_dir is missing: {usage}")
    kept = {"overwrite": bool(values.get("overwrite")), "trust_remote_code": bool(values.get("trust_remote_code"))}
    if method != "wise_ft":
        for flag in ("alphas", "data.test"):
            if flag in values:
                raise UserError(f"--{flag} goes with --method wise_ft")

        from ..ensemble import soup

        soup(runs, output_dir, method=method, **kept)
        return
    if len(runs) != 2:
        raise UserError(f"--method wise_ft takes two runs, the start and the fine-tuned one; found {len(runs)}")
    alphas = {"alphas": _numbers(values["alphas"])} if "alphas" in values else {}

    from ..ensemble import wise_ft

    wise_ft(*runs, output_dir, second_test=values.get("data.test"), **alphas, **kept)


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--alphas is {text!r}; allowed: numbers from 0 to 1 with commas between") from None
