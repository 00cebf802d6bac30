"""Mini checkpoints and data, built once per session: nothing is downloaded, and the real classes run."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # a test that reaches for the Hub fails at once instead of waiting
os.environ.setdefault("OMP_NUM_THREADS", "1")  # mini models gain nothing from threads, and idle ones spin

import signal  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background, as some CI does; what is ignored here would be ignored by every process of a test.
    signal.signal(signal.SIGINT, signal.default_int_handler)

from mini import make_texts, mini_image_checkpoint, mini_text_checkpoint, write_csv, write_images  # noqa: E402


@pytest.fixture(autouse=True, scope="session")
def feature_cache():
    """Recorded features of the tests, in no user's cache; subprocesses find it in their environment."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HF_TRANSFER_CACHE"] = folder
        yield Path(folder)


@pytest.fixture(autouse=True)
def interrupts_as_before():
    """The command line ends a process and so leaves Ctrl-C ignored; this process goes on."""
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.fixture(scope="session")
def mini_text(tmp_path_factory) -> Path:
    return mini_text_checkpoint(tmp_path_factory.mktemp("checkpoints") / "mini-bert")


@pytest.fixture(scope="session")
def mini_image(tmp_path_factory) -> Path:
    return mini_image_checkpoint(tmp_path_factory.mktemp("checkpoints") / "mini-resnet")


@pytest.fixture(scope="session")
def reviews(tmp_path_factory) -> Path:
    return write_csv(tmp_path_factory.mktemp("data") / "reviews.csv", ["body", "stars"], make_texts(120))


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    return write_images(tmp_path_factory.mktemp("data") / "photos")
