"""Output folders that cannot be used, and bad input to `predict` and `evaluate`: one line, and nothing lost."""

import shutil

from mini import make_texts, write_csv
from refusals import contents, refused, text, truncate

from hf_transfer import load

# ---------------------------------------------------------------------------------------------------------------------
# The output folder


def test_an_output_folder_that_cannot_be_used(capfd, out, tmp_path, mini_text, reviews):
    def told(*folder, says):
        text(capfd, mini_text, reviews, says=says, folder=folder)

    told("--output_dir", "out", says=["--output_dir out", "not empty", "README.md", "--overwrite"])
    (tmp_path / "file").write_text("mine")
    for more in ([], ["--overwrite"], ["--resume"]):
        told("--output_dir", "file", *more, says=["--output_dir file", "is a file"])
        told("--output_dir", "file/deeper", *more, says=["file/deeper"])
    assert (tmp_path / "file").read_text() == "mine"


def test_resume_with_nothing_to_go_on_from(capfd, out, tmp_path, mini_text, reviews):
    def told(*folder, says):
        text(capfd, mini_text, reviews, says=says, folder=folder)

    told("--output_dir", "absent", "--resume", says=["--resume", "absent", "checkpoints"])
    (tmp_path / "empty").mkdir()
    told("--output_dir", "empty", "--resume", says=["--resume", "empty", "checkpoints"])
    told("--output_dir", "out", "--resume", says=["--resume", "out", "finished", "--overwrite"])
    told("--output_dir", "out", "--resume", "--overwrite", says=["--resume", "--overwrite", "only one"])
    assert not (tmp_path / "absent").exists()


def test_a_failed_overwrite_leaves_the_old_model_loadable(capfd, out, mini_text, reviews):
    before = load(out).predict(["a lovely film"])
    text(capfd, mini_text, reviews, "--data.label", "nothing", says=["'nothing'", "body, stars"])
    assert load(out).predict(["a lovely film"]) == before


def test_a_failed_overwrite_gives_the_checkpoints_back(capfd, out, mini_text, reviews):
    (out / "checkpoints/checkpoint-2").mkdir(parents=True)
    (out / "checkpoints/checkpoint-2/trainer_state.json").write_text("{}")
    before = contents(out)
    text(capfd, mini_text, reviews, "--data.label", "nothing", says=["'nothing'"])
    found = contents(out)
    for folder in out.glob("checkpoints*"):
        shutil.rmtree(folder)
    assert found == before


# ---------------------------------------------------------------------------------------------------------------------
# predict and evaluate


def predict(capfd, tmp_path, folder, *words, says, output="p.csv"):
    """A refused prediction; the predictions of an earlier one stay, and no half file is left."""
    (tmp_path / "p.csv").write_text("earlier")
    before = sorted(path.name for path in tmp_path.iterdir())
    refused(capfd, "predict", folder, *words, "--output", output, says=says)
    assert (tmp_path / "p.csv").read_text() == "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_predict_without_a_model(capfd, out, tmp_path, reviews):
    predict(capfd, tmp_path, "absent", "--input", reviews, says=["absent", "not a folder", "finished run"])
    (tmp_path / "empty").mkdir()
    predict(capfd, tmp_path, "empty", "--input", reviews, says=["empty", "not a finished run", "recipe.json"])


def test_predict_with_a_damaged_model(capfd, trained, tmp_path, monkeypatch, reviews):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "model"

    def told(damage, says):
        shutil.copytree(trained, folder)
        damage()
        predict(capfd, tmp_path, "model", "--input", reviews, says=says)
        shutil.rmtree(folder)

    told(lambda: (folder / "recipe.json").write_text("{"), ["model/recipe.json", "damaged"])
    told(lambda: (folder / "recipe.json").write_text("{}"), ["recipe.json", "'summary' is missing"])
    told(lambda: (folder / "recipe.json").write_text("[]"), ["recipe.json", "found list"])
    told(lambda: (folder / "recipe.json").write_bytes(b"\xff\xfe"), ["model/recipe.json", "damaged"])
    told(lambda: (folder / "config.json").write_text("{"), ["model", "config.json"])
    told(lambda: (folder / "model.safetensors").unlink(), ["model", "model.safetensors"])
    told(lambda: truncate(folder / "model.safetensors"), ["model", "cannot be loaded"])
    told(lambda: [path.unlink() for path in folder.glob("tokenizer*")], ["model", "tokenizer"])


def test_predict_with_bad_input(capfd, out, tmp_path, photos):
    def told(*words, says, **more):
        predict(capfd, tmp_path, "out", *words, says=says, **more)

    told("--input", "absent.csv", says=["absent.csv", "no such file"])
    write_csv(tmp_path / "a.csv", ["x", "y"], [("a film", "1"), ("", "2")])
    told("--input", "a.csv", says=["a.csv", "'body'", "data.text", "x, y"])
    told("--input", "a.csv", "--data.text", "z", says=["a.csv", "'z'", "data.text", "x, y"])
    told("--input", "a.csv", "--data.text", "x", says=["a.csv", "'x'", "row 2 (line 3)"])
    told("--input", "a.csv", "--data.image", "x", says=["--data.image", "TextClassification"])
    told("--input", "a.csv", output="absent/p.csv", says=["--output absent/p.csv", "folder that exists"])
    told("--input", "a.csv", output="out", says=["--output out", "file"])
    told("--input", photos, says=["is a folder", "text", ".csv"])
    (tmp_path / "a.csv").write_text("")
    told("--input", "a.csv", says=["a.csv", "empty"])
    (tmp_path / "a.csv").write_bytes("body\ncafé\n".encode("latin-1"))
    told("--input", "a.csv", says=["a.csv", "line 2", "utf-8", "--data.encoding"])


def test_predict_with_bad_images(capfd, trained_on_images, tmp_path, monkeypatch, pictures):
    monkeypatch.chdir(tmp_path)

    def told(*words, says):
        predict(capfd, tmp_path, trained_on_images, *words, says=says)

    told("--input", "absent", says=["absent", "no such file or folder"])
    (tmp_path / "empty").mkdir()
    told("--input", "empty", says=["empty", "no files"])
    write_csv(tmp_path / "a.csv", ["body"], [("a film",)])
    told("--input", "a.csv", says=["a.csv", "'image'", "body"])
    told("--input", "pictures", "--data.text", "x", says=["--data.text", "ImageClassification"])
    truncate(pictures / "light/002.png")
    told("--input", "pictures", says=["pictures/light/002.png", "damaged"])


def test_evaluate_with_bad_input(capfd, out, tmp_path, photos):
    def told(*words, says):
        refused(capfd, "evaluate", "out", *words, says=says)

    told("--data.test", "absent.csv", says=["absent.csv", "no such file"])
    rows = [*make_texts(4, seed=1), ("a new film", "ugly")]
    write_csv(tmp_path / "t.csv", ["body", "stars"], rows)
    told("--data.test", "t.csv", says=["t.csv", "row 5 (line 6)", "'ugly'", "bad, good"])
    told("--data.test", "t.csv", "--data.label", "x", says=["t.csv", "'x'", "data.label", "body, stars"])
    told("--data.test", "t.csv", "--data.drop_broken", says=["--data.drop_broken", "TextClassification"])
    told("--data.test", photos, says=["is a folder", ".csv"])
    write_csv(tmp_path / "t.csv", ["body", "stars"], [(text, "") for text, _ in rows])
    told("--data.test", "t.csv", says=["t.csv", "'stars'", "no labels"])
    refused(capfd, "evaluate", "absent", "--data.test", "t.csv", says=["absent", "not a folder"])
