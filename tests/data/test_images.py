"""Image folders and image columns: sorted, decoded once, and what is no image is named by its path."""

import io
import shutil

import datasets
import pandas as pd
import pytest
from PIL import Image

from hf_transfer.data import ImageClassification, load_data
from hf_transfer.errors import UserError


def names(rows):
    return {rows.features["label"].names[i] for i in rows["label"]}


def test_class_folders(photos):
    root = photos("p", {"cat": 10, "dog": 10})
    splits = load_data(ImageClassification(str(root)))
    assert splits.labels.names == ("cat", "dog") and splits.columns == {"image": "image", "label": "label"}
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (14, 2, 4)
    assert splits.train[0]["image"].size == (48, 32) and splits.train.column_names == ["image", "label"]
    assert isinstance(splits.train.features["image"], datasets.Image)
    assert splits.dropped == {"empty": 0, "broken": 0, "leaked": 0, "leaked_validation": 0}
    paths = splits.train.cast_column("image", datasets.Image(decode=False))
    assert all(f"/{splits.labels.names[row['label']]}/" in row["image"]["path"] for row in paths)


def test_class_folders_named_by_numbers_and_deeper_folders(photos):
    root = photos("p", {"10": 4, "9": 4, "2/summer": 2, "2/winter": 2})
    assert load_data(ImageClassification(str(root))).labels.names == ("2", "9", "10")


def test_more_than_fifty_class_folders_need_no_problem_type(photos):
    root = photos("p", {f"c{i}": 3 for i in range(51)})
    assert load_data(ImageClassification(str(root))).labels.num_labels == 51


@pytest.mark.parametrize("validation", ["validation", "valid", "val"])
def test_a_folder_that_comes_in_splits(photos, validation):
    photos("p/train", {"cat": 6, "dog": 6})
    photos(f"p/{validation}", {"cat": 2, "dog": 2})
    root = photos("p/test", {"cat": 3, "dog": 3}).parent
    splits = load_data(ImageClassification(str(root)))
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (12, 4, 6)
    swapped = load_data(ImageClassification(str(root), validation="test", test=validation))
    assert (len(swapped.validation), len(swapped.test)) == (6, 4)
    shutil.rmtree(root / validation)
    assert len(load_data(ImageClassification(str(root))).validation) == 2  # cut


def test_folders_that_are_not_clear(photos, tmp_path):
    photos("p/train", {"cat": 3, "dog": 3})
    photos("p/other", {"cat": 1})
    with pytest.raises(UserError, match="also other/"):
        load_data(ImageClassification(str(tmp_path / "p")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no class folders"):
        load_data(ImageClassification(str(tmp_path / "empty")))
    with pytest.raises(UserError, match="no such file or folder"):
        load_data(ImageClassification(str(tmp_path / "missing")))
    (photos("q", {"cat": 3}) / "dog").mkdir()
    with pytest.raises(UserError, match="q/dog: the class folder is empty"):
        load_data(ImageClassification(str(tmp_path / "q")))


@pytest.mark.parametrize("suffix", ["JPEG", "PNG"])
def test_truncated_and_foreign_files_stop_or_are_dropped(photos, suffix):
    root = photos("p", {"cat": 8, "dog": 8})
    buffer = io.BytesIO()
    Image.effect_noise((200, 200), 80).save(buffer, suffix)
    (root / "cat" / "half.img").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    with pytest.raises(UserError, match=r"cat/half.img is a damaged image"):
        load_data(ImageClassification(str(root)))
    (root / "dog" / "notes.txt").write_text("not an image")
    with pytest.raises(UserError, match=r"cat/half.img is a damaged.* 1 more: .*dog/notes.txt"):
        load_data(ImageClassification(str(root)))
    splits = load_data(ImageClassification(str(root), drop_broken=True))
    assert splits.dropped["broken"] == 2
    assert len(splits.train) + len(splits.validation) + len(splits.test) == 16


def test_loose_files_stop_or_are_dropped_and_hidden_ones_are_skipped(photos):
    root = photos("p", {"cat": 5, "dog": 5})
    (root / ".DS_Store").write_bytes(b"x")
    (root / "cat" / "._0.jpg").write_bytes(b"x")
    (root / "cat" / ".thumbnails").mkdir()
    (root / "cat" / ".thumbnails" / "0.jpg").write_bytes(b"x")
    assert load_data(ImageClassification(str(root))).dropped["broken"] == 0
    (root / "README.txt").write_text("about")
    with pytest.raises(UserError, match="README.txt: lies beside the class folders"):
        load_data(ImageClassification(str(root)))
    assert load_data(ImageClassification(str(root), drop_broken=True)).dropped["broken"] == 1


def test_the_same_file_in_train_and_test_is_a_leak(photos):
    train, test = photos("p", {"cat": 6, "dog": 6}), photos("t", {"cat": 3, "dog": 3})
    shutil.copy(test / "cat" / "0.jpg", train / "cat" / "copy.jpg")
    splits = load_data(ImageClassification(str(train), validation=0.1, test=str(test)))
    assert splits.dropped["leaked"] == 1 and len(splits.test) == 6


def test_images_stay_in_their_own_mode(photos):
    root = photos("p", {"cat": 4, "dog": 4})
    Image.new("L", (9, 9), 7).save(root / "cat" / "grey.png")
    Image.new("RGBA", (9, 9), (1, 2, 3, 4)).save(root / "cat" / "alpha.png")
    splits = load_data(ImageClassification(str(root)))
    modes = {row["image"].mode for part in (splits.train, splits.validation, splits.test) for row in part}
    assert modes == {"L", "RGB", "RGBA"}


def test_a_table_of_paths_beside_it(photos, write):
    photos("p", {"cat": 8, "dog": 8})
    rows = [f"p/{label}/{i}.jpg,{label},{i / 3}" for label in ("cat", "dog") for i in range(8)]
    path = write("a.csv", "img,label,age\n" + "\n".join(rows) + "\n")
    splits = load_data(ImageClassification(path))
    assert splits.columns == {"image": "img", "label": "label"} and names(splits.test) == {"cat", "dog"}
    assert splits.train[0]["image"].size == (48, 32)
    assert load_data(ImageClassification(path, label="age")).labels.problem_type == "regression"
    missing = write("b.csv", "img,label\np/cat/0.jpg,cat\np/cat/99.jpg,cat\n")
    with pytest.raises(UserError, match=r"b.csv: row 2 \(line 3\) names .*99.jpg, and there is no such file"):
        load_data(ImageClassification(missing))
    with pytest.raises(UserError, match=r"names no image in row 1 \(line 2\)"):
        load_data(ImageClassification(write("c.csv", "img,label\n,cat\n")))


@pytest.mark.parametrize("kind", ["parquet of structs", "dataset"])
def test_encoded_images(photos, tmp_path, kind):
    files = sorted(photos("p", {"cat": 6, "dog": 6}).glob("*/*.jpg"))
    images = [{"bytes": file.read_bytes(), "path": None} for file in files]
    labels = [file.parent.name for file in files]
    if kind == "dataset":
        source = datasets.Dataset.from_dict({"photo": images, "label": labels}).cast_column("photo", datasets.Image())
    else:
        source = str(tmp_path / "a.parquet")
        pd.DataFrame({"photo": images, "label": labels}).to_parquet(source)
    splits = load_data(ImageClassification(source, image="photo"))
    assert splits.train[0]["image"].size == (48, 32) and len(splits.train) + len(splits.test) == 10


def test_a_column_that_holds_no_images():
    rows = datasets.Dataset.from_dict({"image": [1, 2], "label": [0, 1]})
    with pytest.raises(UserError, match="holds .*int64.*allowed: images"):
        load_data(ImageClassification(rows))


def test_fingerprint_is_that_of_the_pictures(photos, tmp_path):
    root = photos("p", {"cat": 5, "dog": 5})
    shutil.copytree(root, tmp_path / "copy")
    one, two = (load_data(ImageClassification(str(tmp_path / name))) for name in ("p", "copy"))
    assert one.fingerprint == two.fingerprint
    shutil.copy(root / "cat" / "0.jpg", root / "cat" / "1.jpg")
    assert load_data(ImageClassification(str(root))).fingerprint != two.fingerprint
