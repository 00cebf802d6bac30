"""Commands that must be refused: one line, status 2, and nothing lost."""

from pathlib import Path

from hf_transfer import cli


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder and what it holds; folders have nothing."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def call(capfd, *words) -> tuple[int, str, str]:
    capfd.readouterr()
    code = cli.main([str(word) for word in words])
    captured = capfd.readouterr()
    return code, captured.out, captured.err


def refused(capfd, *words, says=(), lacks=()) -> str:
    """Run a command that must fail: one line and status 2; with `--traceback`, the traceback before the same line."""
    words = [str(word) for word in words]
    code, out, err = call(capfd, *words)
    assert code == 2, out + err
    assert err.startswith("error: ") and err.count("\n") == 1 and err.endswith("\n"), err
    for part in says:
        assert str(part) in err
    for part in lacks:
        assert str(part) not in err

    again = (
        cli.run_recipe_main([*words[1:], "--traceback"]) if words[0] == "run" else cli.main([*words, "--traceback"])
    )
    shown = capfd.readouterr().err
    assert again == 2
    assert shown.startswith("Traceback (most recent call last):") and shown.endswith("\n" + err)
    return err


def small(checkpoint, text: bool = False) -> list:
    return [
        "--backbone.checkpoint",
        checkpoint,
        f"--backbone.{'max_length' if text else 'image_size'}",
        32,
        "--max_steps",
        2,
    ]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:300])


def text(capfd, checkpoint, reviews, *words, says, folder=("--output_dir", "out", "--overwrite")):
    data = ["--data.train", reviews, "--data.text", "body", "--data.label", "stars"]
    return refused(capfd, "run", "text/linear_probe", *small(checkpoint, text=True), *data, *folder, *words, says=says)
