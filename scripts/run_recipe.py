r"""Train, measure and save what a recipe describes.

    accelerate launch scripts/run_recipe.py text/lstm_frozen --demo
    accelerate launch scripts/run_recipe.py text/full_finetune --data.train reviews.csv --data.text body \
        --data.label stars --output_dir out/
    accelerate launch scripts/run_recipe.py vision/linear_probe --data.train photos/ --output_dir out/
    accelerate launch --config_file recipes/accelerate_configs/multi_gpu.yaml scripts/run_recipe.py text/lstm_full
    accelerate launch scripts/run_recipe.py hub://user/name --data.train reviews.csv
    python scripts/run_recipe.py --list
    python scripts/run_recipe.py text/lstm_frozen --help

`hf-transfer run` is the same from any folder once the package is installed.
"""

import sys


def main() -> int:
    try:
        from hf_transfer.cli import run_recipe_main
    except ModuleNotFoundError as error:
        if error.name not in ("hf_transfer", "hf_transfer.cli"):
            raise
        # Either nothing is installed, or PyPI's unrelated package of the same import name hides ours.
        print(
            "error: this project's hf_transfer is not installed: `pip uninstall hf_transfer` if PyPI's unrelated "
            "package of that name is there, then `pip install -e .` in the clone",
            file=sys.stderr,
        )
        return 2
    return run_recipe_main()


if __name__ == "__main__":
    sys.exit(main())
