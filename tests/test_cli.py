"""The command line: what it prints, how it exits, and what it does not import."""

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import hf_transfer
from hf_transfer import Pipeline, UserError, cli
from hf_transfer.places import places
from hf_transfer.recipe_files import list_recipes, load_recipe
from hf_transfer.recipe_json import pipeline_to_dict, recipe_from_dict, recipe_to_dict

ROOT = Path(hf_transfer.__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "run_recipe.py"
HEAVY = ("torch", "transformers", "datasets", "pandas", "numpy", "timm", "evaluate", "sklearn", "accelerate")


def call(capsys, *words: str) -> tuple[int, str, str]:
    code = cli.main(words)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def calls(monkeypatch) -> list:
    """Stand-ins for what trains and predicts: the command line's own part is to call them rightly."""
    seen = []

    def run(recipe, output_dir=None, **settings):
        seen.append((recipe, output_dir, settings))

    class Model:
        recipe = load_recipe("text/linear_probe")

        def predict_file(self, source, output, **reading):
            seen.append(("predict", source, output, reading))
            return 3

        def evaluate_file(self, source, **overrides):
            seen.append(("evaluate", source, overrides))
            return {"accuracy": 0.75, "loss": 0.5}

    def load_model(folder, trust_remote_code=False):
        if trust_remote_code:
            seen.append(("trusted", folder))
        return Model()

    monkeypatch.setitem(sys.modules, "hf_transfer.runner", types.SimpleNamespace(run=run))
    monkeypatch.setitem(sys.modules, "hf_transfer.predictor", types.SimpleNamespace(load=load_model))
    return seen


# ---------------------------------------------------------------------------------------------------------------------
# Help, list, show


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_the_program_explains_itself(capsys, words):
    code, out, err = call(capsys, *words)
    assert code == 0 and err == ""
    assert all(
        f"\n  {command} " in out for command in ("list", "show NAME", "run NAME", "predict OUT", "evaluate OUT")
    )


@pytest.mark.parametrize("command", ["list", "show", "run", "predict", "evaluate"])
def test_every_command_has_help(capsys, command):
    code, out, err = call(capsys, command, "--help")
    assert code == 0 and err == ""
    assert out.startswith(f"usage: hf-transfer {command}") and "--traceback" in out


@pytest.mark.parametrize("name", sorted(list_recipes()))
def test_help_shows_every_recipes_knobs_with_its_values(capsys, name):
    code, out, err = call(capsys, "run", name, "--help")
    recipe = load_recipe(name)
    assert code == 0 and err == ""
    assert f"usage: hf-transfer run {name} [flags]\n\n{recipe.summary}\n" in out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    for place, noun in places(recipe).items():
        for field in ("checkpoint", "train"):
            if isinstance(getattr(noun, field, None), str):
                assert any(line.startswith(f"--{place}.{field} {getattr(noun, field)}") for line in lines), place
    assert max(map(len, out.splitlines())) <= 140
    if isinstance(recipe, Pipeline):  # training fields are those of its recipes
        return
    # What the recipe sets is marked and has its value; what the run sets for every recipe is shown as it will be.
    for field in recipe.training:
        assert any(line.startswith(f"*--{field} ") for line in lines), field
    if "learning_rate" in recipe.training:
        assert any(line.startswith(f"*--learning_rate {recipe.training['learning_rate']} ") for line in lines)
    else:  # solved for, not descended to
        assert any(line.startswith("--head.fit auto ") for line in lines)
    assert any(line.startswith("--eval_strategy epoch ") for line in lines)
    assert out.count("--push_to_hub") == 1 and "--hub_token" not in out  # ours, not Trainer's


def test_help_differs_with_the_recipe(capsys):
    _, lstm, _ = call(capsys, "run", "text/lstm_frozen", "--help")
    _, mlp, _ = call(capsys, "run", "vision/vgg16_mlp", "--help")
    assert "--head.num_layers 2" in lstm and "--head.num_layers" not in mlp
    assert "--head.hidden_sizes 1024,512" in mlp and "--head.hidden_sizes" not in lstm
    assert "--backbone.max_length" in lstm and "--backbone.image_size 128" in mlp


def test_the_short_form_of_help_and_the_script_say_the_same(capsys):
    _, long, _ = call(capsys, "run", "text/lstm_frozen", "--help")
    code, short, _ = call(capsys, "text/lstm_frozen", "--help")
    assert code == 0 and short == long
    assert cli.run_recipe_main(["text/lstm_frozen", "--help"]) == 0
    assert capsys.readouterr().out == long.replace("hf-transfer run", "run_recipe.py", 1)


def test_list_names_every_recipe_with_its_summary(capsys):
    code, out, _ = call(capsys, "list")
    assert code == 0
    listed = {line.split(maxsplit=1)[0]: line.split(maxsplit=1)[1] for line in out.splitlines()}
    assert listed == list_recipes()
    assert call(capsys, "run", "--list")[1] == out


def test_version(capsys):
    assert call(capsys, "--version") == (0, f"hf-transfer-recipes {hf_transfer.__version__}\n", "")


def test_show_prints_json_that_run_takes(capsys, tmp_path):
    words = ("text/lstm_frozen", "--head.hidden_size", "32", "--max_steps", "5", "--data.train", "reviews.csv")
    code, out, _ = call(capsys, "show", *words)
    assert code == 0
    recipe = recipe_from_dict(json.loads(out))
    assert (recipe.head.hidden_size, recipe.training["max_steps"], recipe.data.train) == (32, 5, "reviews.csv")
    assert recipe.training["learning_rate"] == load_recipe("text/lstm_frozen").training["learning_rate"]
    assert call(capsys, "run", *words, "--show")[1] == out
    (tmp_path / "recipe.json").write_text(out)
    assert call(capsys, "show", str(tmp_path / "recipe.json"))[1] == out


def test_show_of_a_recipe_as_it_is(capsys):
    for name in list_recipes():
        recipe = load_recipe(name)
        expected = pipeline_to_dict(recipe) if isinstance(recipe, Pipeline) else recipe_to_dict(recipe)
        assert json.loads(call(capsys, "show", name)[1]) == expected


FRESH = f"""
import json, sys
from hf_transfer.cli import main
code = main(sys.argv[1:])
print()
print(json.dumps([code, [name for name in {HEAVY!r} if name in sys.modules]]), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["list"],
        ["show", "text/lstm_frozen"],
        ["show", "vision/full_finetune", "--learning_rate", "1e-4"],
        ["text/full_finetune", "--help"],
        ["run", "--help"],
        ["predict", "--help"],
        ["evaluate", "--help"],
    ],
)
def test_what_explains_imports_nothing_heavy(tmp_path, words):
    done = fresh(["-c", FRESH, *words], tmp_path)
    assert json.loads(done.stderr.splitlines()[-1]) == [0, []]


@pytest.mark.parametrize(
    "words", [["run", "text/nope"], ["run", "text/lstm_frozen", "--learning_rat", "1"], ["predict", "out"]]
)
def test_a_mistake_is_told_before_anything_heavy_is_imported(tmp_path, words):
    done = fresh(["-c", FRESH, *words], tmp_path)
    assert json.loads(done.stderr.splitlines()[-1]) == [2, []]


def test_the_test_for_heavy_imports_can_fail(tmp_path):
    done = fresh(["-c", "import numpy\n" + FRESH, "list"], tmp_path)
    assert json.loads(done.stderr.splitlines()[-1]) == [0, ["numpy"]]


def fresh(arguments: list[str], cwd: Path, path: str = str(ROOT)) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True)


# ---------------------------------------------------------------------------------------------------------------------
# run, predict, evaluate


def test_run_hands_over_recipe_folder_and_settings(capsys, calls):
    words = "run text/lstm_frozen --output_dir out --head.dropout 0.5 --learning_rate 1e-4 --bf16 --overwrite"
    assert call(capsys, *words.split())[0] == 0
    [(recipe, output_dir, settings)] = calls
    assert output_dir == "out" and recipe.head.dropout == 0.5
    assert recipe.training == load_recipe("text/lstm_frozen").training
    assert settings == {
        "name": "text/lstm_frozen",
        "resume": False,
        "overwrite": True,
        "keep_checkpoints": False,
        "trust_remote_code": False,
        "dtype": "auto",
        "probe_budget": False,
        "license": None,
        "start_from": None,
        "language": None,
        "learning_rate": 1e-4,
        "bf16": True,
    }


def test_license_and_language_are_checked_and_handed_over(capsys, calls):
    assert call(capsys, "run", "text/lstm_frozen", "--license", "Apache-2.0", "--language", "en,zh")[0] == 0
    assert (calls[0][2]["license"], calls[0][2]["language"]) == ("apache-2.0", ["en", "zh"])
    for words in (("--license", "apache"), ("--language", "english")):
        status, out, err = call(capsys, "run", "text/lstm_frozen", *words)
        assert status and f"{words[0]} is '{words[1]}'" in out + err
    assert len(calls) == 1


def test_the_script_runs_what_the_command_runs(calls):
    words = ["text/lstm_frozen", "--seed", "7", "--resume", "--output_dir", "out"]
    assert cli.main(["run", *words]) == cli.run_recipe_main(words) == 0
    assert calls[0] == calls[1] and calls[0][2]["resume"] is True and calls[0][2]["seed"] == 7


def test_demo_swaps_checkpoint_and_data_and_what_is_given_beside_it_wins(calls):
    cli.main(["run", "--demo", "text/lstm_frozen"])
    cli.main(["run", "text/lstm_frozen", "--demo", "--data.train", "mine.csv", "--data.label", "stars"])
    stock = load_recipe("text/lstm_frozen")
    demo, mine = calls[0][0], calls[1][0]
    assert demo.data.train != stock.data.train and demo.backbone.checkpoint != stock.backbone.checkpoint
    assert demo.head == stock.head and demo.training == stock.training
    assert (mine.data.train, mine.data.label, mine.data.text) == ("mine.csv", "stars", None)
    assert mine.backbone == demo.backbone


def test_predict_hands_over_files_and_how_to_read_them(capsys, calls):
    words = "predict out --input new.csv --output labels.csv --data.sep ; --data.header false"
    code, out, _ = call(capsys, *words.split())
    assert code == 0 and out == "3 rows with predictions: labels.csv\n"
    assert calls == [("predict", "new.csv", "labels.csv", {"sep": ";", "header": False})]


def test_evaluate_hands_over_columns_and_prints_the_metrics(capsys, calls):
    words = "evaluate out --data.test more.csv --data.text body --data.label stars"
    code, out, _ = call(capsys, *words.split())
    assert code == 0 and out == "accuracy  0.7500\nloss      0.5000\n"
    assert calls == [("evaluate", "more.csv", {"text": "body", "label": "stars"})]
    code, _, err = call(capsys, "evaluate", "out", "--data.test", "x.csv", "--data.image", "file")
    assert (code, err) == (2, "error: --data.image means nothing to a TextClassification model\n")


# ---------------------------------------------------------------------------------------------------------------------
# Mistakes


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["text/lstm_frozen"], "unknown command 'text/lstm_frozen'; did you mean `hf-transfer run text/lstm_frozen`?"),
        (["hub://a/b"], "unknown command 'hub://a/b'; did you mean `hf-transfer run hub://a/b`?"),
        (["trian"], "unknown command 'trian'; see `hf-transfer --help`"),
        (["run"], "name a recipe first (hf-transfer run NAME [flags]); --list names them all"),
        (["run", "--learning_rate", "1"], "name a recipe first (hf-transfer run NAME [flags]); --list names them all"),
        (["run", "text/lstm_frozen", "--sed", "1"], "unknown flag --sed; did you mean --seed?"),
        (["run", "text/lstm_frozen", "--seed", "x"], "--seed is 'x'; allowed: an integer"),
        (["run", "text/lstm_frozen", "--output_dir"], "--output_dir needs a value: text"),
        (["show", "nowhere.py"], "recipe file 'nowhere.py' does not exist"),
        (["list", "text"], "unexpected argument 'text'; flags start with -- and come after the name"),
        (["predict", "out", "--input", "x"], "--output is missing: hf-transfer predict OUT --input FILE_OR_FOLDER"),
        (["predict", "--input", "x"], "name the output folder of a run first: hf-transfer predict OUT"),
        (["evaluate", "out"], "--data.test is missing: hf-transfer evaluate OUT"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(capsys, calls, words, line):
    code, out, err = call(capsys, *words)
    assert code == 2 and out == "" and calls == []
    assert err.startswith(f"error: {line}") and err.count("\n") == 1


def test_an_unknown_recipe_is_told_the_nearest(capsys):
    code, _, err = call(capsys, "run", "text/lstm_frosen")
    assert code == 2
    assert err.startswith("error: there is no recipe 'text/lstm_frosen'; did you mean text/lstm_frozen")


def test_a_recipe_of_ones_own_with_a_wrong_training_field(capsys, tmp_path, calls):
    path = tmp_path / "mine.py"
    path.write_text(
        "from hf_transfer import Recipe, TextBackbone, TextClassification\n"
        "RECIPE = Recipe('x', TextClassification('a.csv'), TextBackbone('b'), training={'lr': 1})\n"
    )
    code, _, err = call(capsys, "run", str(path))
    assert code == 2 and calls == []
    assert err.startswith(f"error: recipe {path}: training: TrainingArguments has no field 'lr'")


def stop_with(monkeypatch, error: BaseException) -> None:
    def run(*arguments, **settings):
        print("some progress")
        raise error

    monkeypatch.setitem(sys.modules, "hf_transfer.runner", types.SimpleNamespace(run=run))


def test_a_mistake_found_by_the_run_ends_the_same_way(capsys, monkeypatch):
    stop_with(monkeypatch, UserError("rows.csv, row 3:\nthe text is empty"))
    code, _, err = call(capsys, "run", "text/lstm_frozen")
    assert (code, err) == (2, "error: rows.csv, row 3: the text is empty\n")
    monkeypatch.setenv("RANK", "1")
    assert call(capsys, "run", "text/lstm_frozen")[2] == "[rank 1] error: rows.csv, row 3: the text is empty\n"


def test_traceback_shows_the_rest_before_the_line(capsys, monkeypatch):
    stop_with(monkeypatch, UserError("rows.csv is empty"))
    code, _, err = call(capsys, "run", "text/lstm_frozen", "--traceback")
    assert code == 2
    assert err.startswith("Traceback (most recent call last):") and err.endswith("\nerror: rows.csv is empty\n")


def test_ctrl_c_ends_with_130_and_what_the_run_said(capsys, monkeypatch):
    stop_with(monkeypatch, KeyboardInterrupt("stopped; to go on: --resume"))
    code, _, err = call(capsys, "run", "text/lstm_frozen")
    assert (code, err) == (130, "stopped; to go on: --resume\n")
    stop_with(monkeypatch, KeyboardInterrupt())
    assert call(capsys, "run", "text/lstm_frozen")[2] == "interrupted\n"


def test_a_bug_is_not_dressed_up_as_a_mistake(monkeypatch):
    stop_with(monkeypatch, ZeroDivisionError("ours"))
    with pytest.raises(ZeroDivisionError):
        cli.main(["run", "text/lstm_frozen"])


def test_the_statuses_reach_the_shell(tmp_path):
    done = fresh([str(SCRIPT), "text/nope"], tmp_path)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.startswith("error: there is no recipe")
    done = fresh(["-m", "hf_transfer.cli", "run", "text/nope"], tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("error: there is no recipe")
    assert fresh([str(SCRIPT), "--list"], tmp_path).returncode == 0


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "hf_transfer.cli", "text/lstm_frozen", "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0


# ---------------------------------------------------------------------------------------------------------------------
# PyPI's hf_transfer


def test_the_unrelated_package_over_ours_is_named(tmp_path):
    metadata = tmp_path / "hf_transfer-0.1.9.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: hf_transfer\nVersion: 0.1.9\n")
    for arguments in ([str(SCRIPT), "--list"], ["-m", "hf_transfer.cli", "list"]):
        done = fresh(arguments, tmp_path, path=f"{ROOT}{os.pathsep}{tmp_path}")
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr.startswith("error: the unrelated package hf_transfer 0.1.9 is installed over this one")
        assert "pip uninstall hf_transfer" in done.stderr and done.stderr.count("\n") == 1


def test_the_unrelated_package_in_place_of_ours_is_named(tmp_path):
    foreign = tmp_path / "site" / "hf_transfer"
    foreign.mkdir(parents=True)
    (foreign / "__init__.py").write_text("def download(): ...\n")
    done = fresh([str(SCRIPT), "text/lstm_frozen", "--demo"], tmp_path, path=str(foreign.parent))
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ") and "pip uninstall hf_transfer" in done.stderr


def test_another_missing_module_is_not_mistaken_for_it(tmp_path):
    ours = tmp_path / "site" / "hf_transfer"
    ours.mkdir(parents=True)
    (ours / "__init__.py").write_text("")
    (ours / "cli.py").write_text("import a_module_that_is_not_there\n")
    done = fresh([str(SCRIPT), "--list"], tmp_path, path=str(ours.parent))
    assert done.returncode == 1 and "a_module_that_is_not_there" in done.stderr


# ---------------------------------------------------------------------------------------------------------------------
# Push


@pytest.fixture
def pushes(monkeypatch):
    """What would be pushed; the Hub itself is in tests/hub."""
    from hf_transfer import hub_push

    made = []

    def push(folder, name, **settings):
        made.append((str(folder), name, settings))
        return hub_push.PushedCommit(name, f"hub/{name}/commit/1", "1", new=len(made) == 1)

    monkeypatch.setattr(hub_push, "push_folder", push)
    monkeypatch.setattr(hub_push, "check_push", lambda name: name if "/" in name else f"me/{name}")
    return made


def test_push_tells_where_the_commit_is(capsys, pushes):
    words = ("push", "out/", "user/name", "--hub_private_repo", "true")
    assert call(capsys, *words)[:2] == (0, "pushed: hub/user/name/commit/1\n")
    assert call(capsys, *words)[:2] == (0, "nothing has changed since hub/user/name/commit/1\n")
    assert pushes[0] == ("out/", "user/name", {"private": True})
    code, _, err = call(capsys, "push", "out/")
    assert code == 2 and "hf-transfer push OUT user/name" in err


def test_a_run_is_pushed_when_it_is_asked_for_and_never_by_trainer(capsys, calls, monkeypatch, pushes):
    from hf_transfer import RunResult

    seen = []

    def run(recipe, output_dir, **settings):
        seen.append(settings)
        return RunResult(output_dir or "runs/first-free", None, {}, {})

    monkeypatch.setattr(sys.modules["hf_transfer.runner"], "run", run)  # the stand-in that `calls` has put there
    words = "run text/lstm_frozen --demo --push_to_hub".split()
    assert call(capsys, *words, "--output_dir", "runs/mine")[0] == 0
    assert call(capsys, *words, "--hub_model_id", "user/name")[0] == 0
    assert [name for _, name, _ in pushes] == ["me/mine", "user/name"]
    assert not any(field.startswith(("push", "hub")) for settings in seen for field in settings)
    code, _, err = call(capsys, *words)
    assert code == 2 and "--push_to_hub needs --hub_model_id user/name" in err
    code, _, err = call(capsys, "run", "text/lstm_frozen", "--hub_model_id", "user/name")
    assert code == 2 and "--hub_model_id says how to push, which nothing asks for; add --push_to_hub" in err
    assert len(seen) == 2


# ---------------------------------------------------------------------------------------------------------------------
# Code that a model brings


@pytest.mark.parametrize(
    "words",
    ["predict out/ --input a.csv --output b.csv", "evaluate out/ --data.test a.csv"],
    ids=["predict", "evaluate"],
)
def test_code_that_a_model_brings_is_trusted_when_asked_for_alone(capsys, calls, words):
    assert call(capsys, *words.split())[0] == 0
    assert ("trusted", "out/") not in calls
    assert call(capsys, *words.split(), "--trust_remote_code")[0] == 0
    assert ("trusted", "out/") in calls
