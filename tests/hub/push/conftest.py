"""A server on 127.0.0.1, a real client, and a finished run to push."""

import os
from pathlib import Path

import pytest
from hub_server import HubServer, User
from push_client import CANARY, READ_ONLY, TOKEN, Worker, write_run


@pytest.fixture(scope="module")
def hub():
    users = {TOKEN: User("alice", orgs=("acme",)), READ_ONLY: User("alice", role="read")}
    with HubServer(users) as server:
        yield server


@pytest.fixture(autouse=True)
def healthy(hub):
    hub.heal()
    hub.repos.clear()
    hub._lfs.clear()
    yield
    hub.heal()


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("disk") / CANARY
    place.mkdir()
    return place


@pytest.fixture(scope="module")
def start(home, tmp_path_factory):
    """Start a client, with changes to its environment; None takes a variable away."""
    started = []

    def begin(hub: HubServer, **changes) -> Worker:
        own = {"HOME": str(home), "USER": CANARY, "LOGNAME": CANARY, "HF_TOKEN": None, "HF_HUB_VERBOSITY": None}
        own |= {**hub.env(None, home / "hf"), **changes}
        env = {name: value for name, value in {**os.environ, **own}.items() if value is not None}
        started.append(Worker(env, tmp_path_factory.mktemp("log") / "stderr"))
        return started[-1]

    yield begin
    for worker in started:
        worker.close()


@pytest.fixture(scope="module")
def client(hub, start) -> Worker:
    worker = start(hub)
    yield worker
    assert TOKEN not in worker.output()  # in whatever the tests of one file made it say


@pytest.fixture
def run(home, tmp_path) -> Path:
    """A finished run in the author's home, with a custom head, and everything around it that must stay there."""
    folder = home / tmp_path.name / "out"
    folder.mkdir(parents=True)
    write_run(folder, home)
    return folder
