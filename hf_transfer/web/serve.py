"""The demo page of a finished run on this machine alone."""

import os
import signal
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from ..errors import UserError


def serve(folder: str | os.PathLike, port: int | None = None, browse: bool = False, examples: str | None = None):
    """Show the page until Ctrl-C.

    Args:
        folder (`str`): the output folder of a run.
        port (`int`, *optional*): by default the first free one from 7860 on.
        browse (`bool`): open the page in the user's browser.
        examples (`str`, *optional*): a table, or a folder of images, with inputs to try; by default rows of the run's
            own test split.

    Raises:
        `UserError`: Gradio is not installed, the port is taken, or `folder` is no finished run.
    """
    # Told to end, this process cleans up as after Ctrl-C: what people have dropped on the page lies on the disk.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with running(folder, port, examples) as address:
        print(f"the page is at {address} (this machine alone can reach it); Ctrl-C ends it", flush=True)
        if browse:
            webbrowser.open(address)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("\nended", flush=True)


@contextmanager
def running(folder: str | os.PathLike, port: int | None = None, examples: str | None = None) -> Iterator[str]:
    """Serve the page while the block runs; gives its address. Arguments and errors as for [`serve`]."""
    if find_spec("gradio") is None:
        raise UserError("the demo page needs Gradio: pip install 'hf-transfer-recipes[web]'")
    if port is not None and not 1 <= port <= 65535:
        raise UserError(f"--port is {port}; allowed: 1 to 65535")
    with tempfile.TemporaryDirectory(prefix="hf-transfer-demo-") as place:
        _keep_to_ourselves(place)

        from ..predictor import load
        from ..results import RunResult
        from .page import page_of

        result = RunResult.load(folder)
        page = page_of(result)
        predictor = load(folder)
        page["examples"] = _examples(predictor.recipe, result, page, examples, Path(place))

        from . import app

        blocks = app.build(page, _asking(predictor, app.Refused))
        try:
            app.launch(
                blocks, server_name="127.0.0.1", server_port=port, share=False, prevent_thread_lock=True, quiet=True
            )
        except OSError as error:
            wanted = f"port {port} is" if port else "all ports from 7860 to 7959 are"
            raise UserError(f"{wanted} taken by another program; choose one with --port N") from error
        try:
            yield blocks.local_url
        finally:
            blocks.close(verbose=False)


def _keep_to_ourselves(place: str) -> None:
    """Settings that Gradio reads from the environment: no reports to its makers, uploads in a folder that goes."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = place
    for name in ("NO_PROXY", "no_proxy"):  # Gradio asks its own server whether it is up
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1", "localhost")))


def _examples(recipe, result, page: dict, source: str | None, place: Path) -> list:
    from .examples import SHOWABLE, from_test, named

    if page.get("channels", 3) not in SHOWABLE:
        return []  # nothing that a browser could show
    found = named(result, source) if source else from_test(recipe, result)
    if found.note:
        print(found.note, flush=True)
    return found.texts or [str(place / name) for name in found.save(place)]


def _asking(predictor, refused: type[Exception]) -> Callable[[Sequence[str]], dict[str, float] | float]:
    """What the page asks: our own prediction, which reads images of any number of channels."""

    def predict(given: Sequence[str]) -> dict[str, float] | float:
        try:
            found = predictor.predict([given[0] if len(given) == 1 else tuple(given)])[0]
        except UserError as error:
            raise refused(str(error)) from error
        return found.probabilities or found.label

    return predict
