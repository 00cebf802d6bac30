"""`hf-transfer predict` and `evaluate` on what runs leave behind: every kind of task, through the command line."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from mini import make_texts, write_csv

from hf_transfer import cli, load

TOPICS = ("fun", "long", "sad")


def command(*words) -> None:
    assert cli.main([str(word) for word in words]) == 0


def train(recipe: str, checkpoint, source, folder, *more):
    size = "max_length" if recipe.startswith("text/") else "image_size"
    words = [
        "--backbone.checkpoint",
        checkpoint,
        f"--backbone.{size}",
        32,
        "--data.train",
        source,
        "--output_dir",
        folder,
    ]
    # A step so large that the predictions differ from row to row.
    command("run", recipe, *words, "--max_steps", 2, "--learning_rate", 1, *more)
    return folder


def predicted(capsys, tmp_path, model, source, *more) -> pd.DataFrame:
    output = tmp_path / "predictions.csv"
    capsys.readouterr()
    command("predict", model, "--input", source, "--output", output, *more)
    frame = read(output)
    assert capsys.readouterr().out == f"{len(frame)} rows with predictions: {output}\n"
    assert not list(tmp_path.glob(".predictions*"))
    return frame


def read(path) -> pd.DataFrame:
    """All cells as they are written."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def evaluated(capsys, model, source, *more) -> dict[str, float]:
    capsys.readouterr()
    command("evaluate", model, "--data.test", source, *more)
    lines = capsys.readouterr().out.splitlines()
    return {name: float(value) for name, value in (line.split() for line in lines)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("predict")


@pytest.fixture(scope="module")
def binary(folder, mini_text, reviews):
    named = ["--data.text", "body", "--data.label", "stars"]
    return train("text/linear_probe", mini_text, reviews, folder / "binary", *named)


@pytest.fixture(scope="module")
def topics(folder):
    """Rows with none, one or two topics."""
    rows = []
    for number, (text, label) in enumerate(make_texts(60)):
        named = {"fun": label == "good", "long": len(text.split()) > 9, "sad": label == "bad" and number % 4 == 0}
        rows.append((text, ";".join(topic for topic in TOPICS if named[topic])))
    return write_csv(folder / "topics.csv", ["text", "label"], rows)


@pytest.fixture(scope="module")
def several(folder, mini_text, topics):
    # Counting words is learnt in a few steps, so that the answers differ from row to row.
    more = ["--data.label_separator", ";", "--backbone.embeddings_only", "--max_steps", 60]
    return train("text/linear_probe", mini_text, topics, folder / "several", *more)


@pytest.fixture(scope="module")
def lengths(folder):
    rows = [(text, f"{len(text) / 10:.2f}") for text, _ in make_texts(60)]
    return write_csv(folder / "lengths.csv", ["text", "label"], rows)


@pytest.fixture(scope="module")
def regression(folder, mini_text, lengths):
    return train("text/linear_probe", mini_text, lengths, folder / "regression")


@pytest.fixture(scope="module")
def timm_image(folder, mini_image):
    """The image checkpoint as timm's own are on the Hub: its configuration names no classes."""
    target = folder / "timm"
    shutil.copytree(mini_image, target)
    config = json.loads((target / "config.json").read_text())
    config.pop("label_names")
    (target / "config.json").write_text(json.dumps(config))
    return target


@pytest.fixture(scope="module")
def images(folder, timm_image, photos):
    return train("vision/linear_probe", timm_image, photos, folder / "images")


# ---------------------------------------------------------------------------------------------------------------------
# Two classes


def test_text_with_two_classes(capsys, tmp_path, binary, reviews):
    frame = predicted(capsys, tmp_path, binary, reviews)
    assert list(frame.columns) == ["body", "stars", "label", "confidence", "prob_bad", "prob_good"]
    assert frame[["body", "stars"]].equals(read(reviews))
    shares = frame[["prob_bad", "prob_good"]].astype(float).to_numpy()
    np.testing.assert_allclose(shares.sum(1), 1)
    assert (frame["label"] == np.array(["bad", "good"])[shares.argmax(1)]).all()
    np.testing.assert_array_equal(frame["confidence"].astype(float), shares.max(1))
    assert len(set(shares[:, 0])) > 50

    # Rows are batched by length: each must still get its own answer, the one it gets alone.
    model = load(binary)
    for row in frame.iloc[:12].itertuples():
        [alone] = model.predict([row.body])
        assert row.label == alone.label
        assert float(row.prob_bad) == pytest.approx(alone.probabilities["bad"], abs=1e-5)

    metrics = evaluated(capsys, binary, reviews)
    assert metrics["accuracy"] == pytest.approx((frame["label"] == frame["stars"]).mean(), abs=1e-4)
    assert metrics["loss"] == pytest.approx(
        -np.log(np.where(frame["stars"] == "bad", shares[:, 0], shares[:, 1])).mean(), abs=1e-4
    )


def test_every_cell_of_the_input_stays_as_it_is(capsys, tmp_path, binary):
    rows = [
        ("007", "great film", "NA", "1e5"),
        ("008", '  dull, "sad" plot\nof two lines ', "", "nan"),
        ("9" * 20, "a fílm 好", "None", " x "),
    ]
    source = write_csv(tmp_path / "new.csv", ["id", "body", "note", "label"], rows)
    frame = predicted(capsys, tmp_path, binary, source)
    assert list(frame.columns[:4]) == ["id", "body", "note", "label"]
    assert [tuple(row) for row in frame.to_numpy()[:, :4]] == rows
    # A column of the input is never written over.
    assert list(frame.columns[4:]) == ["predicted_label", "confidence", "prob_bad", "prob_good"]
    assert set(frame["predicted_label"]) <= {"bad", "good"}


def test_other_files_and_columns(capsys, tmp_path, binary):
    texts = [text for text, _ in make_texts(6, seed=3)]
    expected = [result.label for result in load(binary).predict(texts)]
    (tmp_path / "new.csv").write_text("note;words\n" + "".join(f"x;{text}\n" for text in texts))
    (tmp_path / "bare.csv").write_text("".join(f"{text}\n" for text in texts))
    (tmp_path / "new.tsv").write_text("body\tnote\n" + "".join(f"{text}\tx\n" for text in texts))
    (tmp_path / "new.jsonl").write_text("".join(json.dumps({"body": text, "n": 1}) + "\n" for text in texts))
    pd.DataFrame({"body": texts}).to_parquet(tmp_path / "new.parquet")
    for name, more in {
        "new.csv": ["--data.sep", ";", "--data.text", "words"],
        "bare.csv": ["--data.header", "false", "--data.text", "0"],
        "new.tsv": [],
        "new.jsonl": [],
        "new.parquet": [],
    }.items():
        frame = predicted(capsys, tmp_path, binary, tmp_path / name, *more)
        assert list(frame["label"]) == expected, name


def test_evaluate_by_other_columns(capsys, tmp_path, binary):
    rows = make_texts(20, seed=5)
    usual = write_csv(tmp_path / "a.csv", ["body", "stars"], rows)
    other = write_csv(tmp_path / "b.csv", ["words", "grade"], rows)
    named = ["--data.text", "words", "--data.label", "grade"]
    assert evaluated(capsys, binary, usual) == evaluated(capsys, binary, other, *named)
    # Labels are matched by name: a file with one of the classes alone keeps that class's id.
    good = write_csv(tmp_path / "c.csv", ["body", "stars"], [row for row in rows if row[1] == "good"])
    share = np.mean([result.label == "good" for result in load(binary).predict([text for text, _ in rows[1::2]])])
    assert evaluated(capsys, binary, good)["accuracy"] == pytest.approx(share, abs=1e-4)


def test_evaluate_drops_empty_texts_on_request(capsys, tmp_path, binary):
    rows = make_texts(20, seed=5)
    whole = write_csv(tmp_path / "a.csv", ["body", "stars"], rows)
    holes = write_csv(tmp_path / "b.csv", ["body", "stars"], [*rows, (" ", "good")])
    assert evaluated(capsys, binary, holes, "--data.drop_empty") == evaluated(capsys, binary, whole)


# ---------------------------------------------------------------------------------------------------------------------
# Several labels per row, and numbers


def test_text_with_several_labels(capsys, tmp_path, several, topics):
    frame = predicted(capsys, tmp_path, several, topics)
    added = [f"prob_{name}" for name in TOPICS]
    assert list(frame.columns) == ["text", "label", "predicted_label", "confidence", *added]
    assert frame[["text", "label"]].equals(read(topics))
    shares = frame[added].astype(float).to_numpy()
    above = [";".join(name for name, share in zip(TOPICS, row, strict=True) if share > 0.5) for row in shares]
    assert list(frame["predicted_label"]) == above and len(set(above)) > 1
    np.testing.assert_allclose(frame["confidence"].astype(float), np.maximum(shares, 1 - shares).min(1))
    assert abs(shares.sum(1) - 1).max() > 0.1  # each label is a question of its own

    wanted = np.array([[name in cell.split(";") for name in TOPICS] for cell in frame["label"]])
    told, true = shares > 0.5, wanted
    metrics = evaluated(capsys, several, topics)
    assert metrics["micro_f1"] == pytest.approx(2 * (told & true).sum() / (told.sum() + true.sum()), abs=1e-4)


def test_numbers(capsys, tmp_path, regression, lengths):
    frame = predicted(capsys, tmp_path, regression, lengths)
    assert list(frame.columns) == ["text", "label", "prediction"]
    assert frame[["text", "label"]].equals(read(lengths))
    values, truth = frame["prediction"].astype(float), frame["label"].astype(float)
    assert values.nunique() > 50
    metrics = evaluated(capsys, regression, lengths)
    assert metrics["mse"] == pytest.approx(((values - truth) ** 2).mean(), rel=1e-3)


# ---------------------------------------------------------------------------------------------------------------------
# Images


def test_a_folder_of_images(capsys, tmp_path, images, photos):
    frame = predicted(capsys, tmp_path, images, photos)
    assert list(frame.columns) == ["file", "label", "confidence", "prob_dark", "prob_light"]
    files = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.png"))
    assert list(frame["file"]) == files
    results = load(images).predict([photos / name for name in files])
    assert list(frame["label"]) == [result.label for result in results]
    shares = frame[["prob_dark", "prob_light"]].astype(float).to_numpy()
    np.testing.assert_allclose(shares[:, 0], [result.probabilities["dark"] for result in results], atol=1e-6)
    assert len(set(shares[:, 0])) > 12

    metrics = evaluated(capsys, images, photos)
    assert metrics["accuracy"] == pytest.approx(
        (frame["label"] == frame["file"].str.split("/").str[0]).mean(), abs=1e-4
    )


def test_a_table_of_images_and_one_image(capsys, tmp_path, images, photos):
    shutil.copytree(photos, tmp_path / "photos")
    rows = [("light/001.png", "light", "x"), ("dark/003.png", "dark", "y")]
    rows = [(f"photos/{path}", label, note) for path, label, note in rows]
    source = write_csv(tmp_path / "list.csv", ["image", "label", "note"], rows)  # paths are relative to the table
    frame = predicted(capsys, tmp_path, images, source)
    assert list(frame.columns)[:4] == ["image", "label", "note", "predicted_label"]
    expected = [result.label for result in load(images).predict([tmp_path / path for path, _, _ in rows])]
    assert list(frame["predicted_label"]) == expected
    found = evaluated(capsys, images, source, "--data.label", "label", "--data.image", "image")
    assert found["accuracy"] == np.mean([label == row[1] for label, row in zip(expected, rows, strict=True)])
    frame = predicted(capsys, tmp_path, images, tmp_path / rows[0][0])
    assert list(frame["file"]) == ["001.png"] and list(frame["label"]) == expected[:1]


def test_the_classes_of_the_checkpoint_do_not_outlive_it(folder, mini_image, photos):
    model = train("vision/linear_probe", mini_image, photos, folder / "named")
    assert load(model).labels.names == ("dark", "light")


def test_a_file_that_is_no_image_is_a_users_mistake(tmp_path, mini_image, photos):
    from hf_transfer import ImageBackbone, ImageClassification, LinearHead, Recipe, UserError, load, run

    backbone = ImageBackbone(str(mini_image), image_size=32)
    recipe = Recipe(summary="photos", data=ImageClassification(str(photos)), backbone=backbone, head=LinearHead())
    run(recipe, tmp_path / "out", max_steps=1)
    (tmp_path / "notes.png").write_text("not a picture")
    with pytest.raises(UserError, match="an image cannot be read.*notes.png"):
        load(tmp_path / "out").predict([tmp_path / "notes.png"])


def test_a_table_that_is_written_otherwise_than_in_training_is_told_how_to_read(tmp_path, mini_text, capsys):
    """Tabs and no header in training, as in the demo's file; commas and a header in the new one."""
    rows = tmp_path / "rows.csv"
    rows.write_text("".join(f"{label}\t{text}\n" for text, label in make_texts(60)))
    layout = ("--data.sep", "tab", "--data.header", "false", "--data.text", "1", "--data.label", "0")
    model = train("text/lstm_frozen", mini_text, rows, tmp_path / "out", *layout)
    new = tmp_path / "new.csv"
    new.write_text("body,when\na fine film,today\n")
    words = ["predict", str(model), "--input", str(new), "--output", str(tmp_path / "p.csv"), "--data.text", "body"]
    capsys.readouterr()
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert "sep '\\t' and header false: --data.sep and --data.header say how this one is" in error
    command(*words, "--data.sep", ",", "--data.header", "true")
    assert list(read(tmp_path / "p.csv")["body"]) == ["a fine film"]
