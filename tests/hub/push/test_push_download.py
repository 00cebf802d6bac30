"""And back: what was pushed, downloaded by the real client."""

from pathlib import Path

import pytest
from push_client import REPO, TOKEN, contents, write_weights

pytestmark = pytest.mark.hub


def test_a_download_into_an_empty_cache_gives_the_bytes_that_were_pushed(hub, client, run, tmp_path):
    made = client.push(run, private=True)
    answer = client.ask("download", repo_id=REPO, cache=tmp_path, token=TOKEN)
    place = Path(answer["done"])
    assert place.name == made["oid"]
    assert contents(place) == hub.repos[REPO].commits[-1].files
    assert client.ask("verify", repo_id=REPO, cache=tmp_path, token=TOKEN) == {"done": []}
    assert client.ask("download", repo_id=REPO, cache=tmp_path / "b", token=False)["kind"] == "RepositoryNotFoundError"


def test_a_second_download_asks_by_etag_and_fetches_only_what_changed(hub, client, run, tmp_path):
    client.push(run)
    client.ask("download", repo_id=REPO, cache=tmp_path)
    (run / "README.md").write_text("---\ntags: [new]\n---\n")
    client.push(run)
    hub.requests.clear()
    place = Path(client.ask("download", repo_id=REPO, cache=tmp_path)["done"])
    assert [request.path.rpartition("/")[2] for request in hub.seen("GET", "/resolve/")] == ["README.md"]
    assert contents(place) == hub.repos[REPO].commits[-1].files


def test_a_download_that_breaks_off_goes_on_where_it_was(hub, client, run, tmp_path):
    write_weights(run / "model.safetensors", rows=5_632)  # 22 MiB: the client keeps what it has in steps of 10
    client.push(run)
    hub.fail("GET", "model.safetensors", "truncate")
    place = Path(client.ask("download", repo_id=REPO, cache=tmp_path)["done"])
    asked = [request.headers.get("range") for request in hub.seen("GET", "safetensors")]
    assert asked == [None, f"bytes={10 * 2**20}-"]
    assert (place / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


def test_a_corrupted_download_is_noticed(hub, client, run, tmp_path):
    client.push(run)
    hub.fail("GET", "model.safetensors", "short")
    assert "Consistency check failed" in client.ask("download", repo_id=REPO, cache=tmp_path / "a")["error"]
    assert "done" in client.ask("download", repo_id=REPO, cache=tmp_path / "a")
    # A wrong bit in a file of the right length is found by the checksums alone, which the client compares on request.
    hub.fail("GET", "model.safetensors", "flip")
    assert "done" in client.ask("download", repo_id=REPO, cache=tmp_path / "b")
    assert client.ask("verify", repo_id=REPO, cache=tmp_path / "b") == {"done": ["model.safetensors"]}
