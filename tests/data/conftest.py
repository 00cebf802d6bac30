"""Small real files, written by each test into its own folder."""

import pytest
from PIL import Image


@pytest.fixture
def write(tmp_path):
    """`write("a.csv", text_or_bytes)` -> path as a string."""

    def _write(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return _write


@pytest.fixture
def reviews(write):
    """`reviews("a.csv", 30)` -> a file with that many different texts, their labels in turn from `labels`."""

    def _reviews(name: str, rows: int, labels=("bad", "good"), start: int = 0, header: str = "text,label") -> str:
        lines = [f"review number {i},{labels[i % len(labels)]}" for i in range(start, start + rows)]
        return write(name, "\n".join([header, *lines]) + "\n")

    return _reviews


@pytest.fixture
def photos(tmp_path):
    """`photos("p/train", {"cat": 5, "dog": 4})` -> a folder of class folders with different small JPEGs."""
    counter = iter(range(10_000))

    def _photos(name: str, classes: dict[str, int]):
        root = tmp_path / name
        for label, count in classes.items():
            (root / label).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                at = next(counter)
                image = Image.new("RGB", (48, 32), (at % 256, at // 256, 90))
                image.putpixel((at % 48, 3), (255, 255, 255))
                image.save(root / label / f"{i}.jpg", quality=95)
        return root

    return _photos
