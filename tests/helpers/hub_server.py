"""A Hub on 127.0.0.1 that speaks what the real client needs, keeps what it gets in memory, and fails on request.

    with HubServer(users={"hf_secret": User("alice")}) as hub:
        subprocess.run([...], env={**os.environ, **hub.env("hf_secret", home)})
        hub.repos["alice/spam"].files        # name -> bytes, at the last commit
        hub.fail("PUT", "/lfs/", how="cut")  # the next such request breaks off half way

The client reads HF_ENDPOINT once, when it is imported, so it runs in a process of its own.
"""

import base64
import json
import re
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from hub_repos import Commit, Repo, User, git_sha1, sha256

LFS_SUFFIXES = (".safetensors", ".bin", ".png", ".model")  # as in the .gitattributes of a new repository
GITATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()


@dataclass
class Failure:
    """What is to go wrong: see `HubServer.fail`."""

    method: str
    part: str
    how: str | int | Callable[[], object]
    times: int | None
    message: str
    headers: dict[str, str]
    body: dict | None
    text: str | None = None


@dataclass
class Request:
    """What a client sent (names of headers in small letters), and the status of the answer; None for no answer."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int | None = None


class HubServer:
    """The server; `with` starts and stops it.

    Args:
        users (`dict[str, User]`): by token.
    """

    def __init__(self, users: dict[str, User]):
        self.users = users
        self.repos: dict[str, Repo] = {}
        self.requests: list[Request] = []
        self.lock = threading.RLock()
        self.stalled = threading.Event()  # set once a request hangs
        self._go_on = threading.Event()
        self._failures: list[Failure] = []
        self._lfs: dict[str, bytes] = {}  # by SHA-256

        class Bound(_Handler):
            hub = self

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> "HubServer":
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._go_on.set()
        self._http.shutdown()
        self._http.server_close()

    def env(self, token: str | None, home) -> dict[str, str]:
        """Environment that leads a client to this server and to no other, with its files in the folder `home`."""
        variables = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",  # plain HTTP uploads: the Xet protocol is not spoken here
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_OFFLINE": "0",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        return variables | ({"HF_TOKEN": token} if token else {})

    def fail(
        self,
        method: str,
        part: str,
        how: str | int | Callable[[], object],
        times: int | None = 1,
        message: str = "",
        headers: dict[str, str] | None = None,
        body: dict | None = None,
        text: str | None = None,
    ) -> None:
        """Let requests fail whose path contains `part`.

        Args:
            how (`str`, `int` or `Callable`): an HTTP status; or a function, called before the request is carried out,
                for what somebody else does in that moment; or "cut": the connection breaks when half of the request
                is read; "lost": it breaks when the request was carried out, before the answer; "stall": no answer at
                all until the server ends; "truncate": half of the content, then it breaks; "short": half of the
                content as if it were all; "flip": one bit of the content is wrong.
            times (`int`, *optional*): how often; None for always.
            message (`str`): what the server says with a status.
            headers (`dict`, *optional*): sent with a status.
            body (`dict`, *optional*): JSON sent with a status instead of `message`.
            text (`str`, *optional*): plain text sent with a status instead of JSON.
        """
        self._failures.append(Failure(method, part, how, times, message, headers or {}, body, text))

    def heal(self) -> None:
        """Forget all failures and all requests seen."""
        self._failures.clear()
        self.requests.clear()

    def seen(self, method: str, part: str = "") -> list[Request]:
        """Requests of a method whose path contains `part`, in order."""
        return [request for request in self.requests if request.method == method and part in request.path]

    def create(self, repo_id: str, private: bool = False) -> Repo:
        """Make a repository, as somebody else may have."""
        self.repos[repo_id] = Repo(repo_id, private)
        self.repos[repo_id].add("initial commit", {".gitattributes": GITATTRIBUTES})
        return self.repos[repo_id]

    def _failure(self, method: str, path: str) -> Failure | None:
        with self.lock:
            for failure in self._failures:
                if failure.method == method and failure.part in path and failure.times != 0:
                    if failure.times is not None:
                        failure.times -= 1
                    return failure
        return None


class _Refusal(Exception):
    def __init__(self, status: int, message: str, code: str | None = None, body: dict | None = None):
        self.status, self.message, self.code, self.body = status, message, code, body


class _Broken(Exception):
    """The connection is to be closed without another byte."""


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_) -> None:
        pass

    def _serve(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.seen = Request(self.command, path, {n.lower(): value for n, value in self.headers.items()}, b"")
        self.hub.requests.append(self.seen)
        self.failure = self.hub._failure(self.command, path)
        how = self.failure.how if self.failure else None
        try:
            if how in ("cut", "stall"):
                self._read(half=True)
                if how == "stall":
                    self.hub.stalled.set()
                    self.hub._go_on.wait()
                raise _Broken
            self.seen.body = self._read()
            if isinstance(how, int):
                raise _Refusal(how, self.failure.message, body=self.failure.body)
            if callable(how):
                how()
            with self.hub.lock:
                status, content, headers = self._route(path)
            if how == "lost":
                raise _Broken
            self._answer(status, content, headers)
        except _Refusal as refusal:
            headers = dict(self.failure.headers) if isinstance(how, int) else {}
            if refusal.message:
                headers["X-Error-Message"] = refusal.message
            if refusal.code:
                headers["X-Error-Code"] = refusal.code
            text = self.failure.text if isinstance(how, int) else None
            content = text.encode() if text is not None else refusal.body or {"error": refusal.message}
            self._answer(refusal.status, content, headers)
        except _Broken:
            self._break()

    do_GET = do_HEAD = do_POST = do_PUT = _serve

    def _read(self, half: bool = False) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
                if half:
                    return b"".join(parts)
            self.rfile.readline()
            return b"".join(parts)
        length = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(length // 2 if half else length)

    def _answer(self, status: int, content, headers: dict[str, str] | None = None) -> None:
        headers = dict(headers or {})
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
            headers.setdefault("Content-Type", "application/json; charset=utf-8")
        self.seen.status = status
        how = self.failure.how if self.failure else None
        length, reading = len(content), self.command == "GET"
        if reading and how == "flip":
            content = content[:-1] + bytes([content[-1] ^ 1])
        if reading and how in ("truncate", "short"):
            content = content[: length // 2]
            length = length if how == "truncate" else len(content)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
            self.wfile.flush()
        if reading and how == "truncate":
            self._break(reset=False)  # what was sent must arrive

    def _break(self, reset: bool = True) -> None:
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)

    # -----------------------------------------------------------------------------------------------------------------
    # Who asks, and what it may do

    def _user(self) -> User | None:
        given = self.headers.get("Authorization")
        if given is None:
            return None
        user = self.hub.users.get(given.removeprefix("Bearer "))
        if user is None:
            raise _Refusal(401, "Invalid credentials in Authorization header")
        return user

    def _writer(self, owner: str) -> User:
        user = self._user()
        if user is None:
            raise _Refusal(401, "Invalid username or password.")
        if user.role != "write" or owner not in (user.name, *user.orgs):
            raise _Refusal(403, f'You don\'t have the rights to create a model under the namespace "{owner}"')
        return user

    def _repo(self, repo_id: str, write: bool = False) -> Repo:
        user, repo = self._user(), self.hub.repos.get(repo_id)
        owner = _owner(repo_id)
        hidden = repo is not None and repo.private and (user is None or owner not in (user.name, *user.orgs))
        if repo is None or hidden:
            raise _Refusal(401 if user is None else 404, "Repository not found", "RepoNotFound")
        if write:
            self._writer(owner)
        return repo

    def _commit(self, repo: Repo, revision: str) -> Commit:
        commit = repo.at(revision)
        if commit is None:
            raise _Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    # -----------------------------------------------------------------------------------------------------------------
    # The addresses

    def _route(self, path: str):
        for method, pattern, action in _ROUTES:
            match = re.fullmatch(pattern, path)
            if match and self.command in method.split():
                return getattr(self, action)(*match.groups())
        raise _Refusal(404, f"Sorry, we can't find {self.command} {path}", "EntryNotFound")

    def _whoami(self):
        user = self._user()
        if user is None:
            raise _Refusal(401, "Invalid username or password.")
        token = {"type": "access_token", "accessToken": {"displayName": "tests", "role": user.role}}
        orgs = [{"type": "org", "name": name} for name in user.orgs]
        return 200, {"type": "user", "name": user.name, "orgs": orgs, "auth": token}, {}

    def _create(self):
        asked = json.loads(self.seen.body)
        user = self._user()
        owner = asked.get("organization") or (user.name if user else "")
        self._writer(owner)
        kind = asked.get("type", "model")
        if kind == "space" and asked.get("sdk") not in ("gradio", "docker", "static"):
            raise _Refusal(400, "sdk must be one of gradio, docker, static")
        repo_id = ("spaces/" if kind == "space" else "") + f"{owner}/{asked['name']}"
        url = f"{self.hub.url}/{repo_id}"
        if repo_id in self.hub.repos:
            raise _Refusal(409, "", body={"error": f"You already created this {kind} repo", "url": url})
        self.hub.create(repo_id, asked.get("visibility") == "private" or bool(asked.get("private")))
        return 200, {"url": url, "name": repo_id, "id": repo_id}, {}

    def _validate_yaml(self):
        from card_rules import problems

        asked = json.loads(self.seen.body)
        errors, warnings = problems(asked["content"], asked.get("repoType", "model"))
        status = 400 if errors else 200
        if "text/plain" in self.headers.get("Accept", ""):
            lines = [f"- {kind}: {one}" for kind, found in (("Error", errors), ("Warning", warnings)) for one in found]
            return status, "\n".join(lines).encode(), {"Content-Type": "text/plain; charset=utf-8"}
        told = {"errors": errors, "warnings": warnings}
        return status, {kind: [{"message": one} for one in found] for kind, found in told.items()}, {}

    def _preupload(self, repo_id, revision):
        there = self._commit(self._repo(repo_id, write=True), revision).files
        answers = []
        for file in json.loads(self.seen.body)["files"]:
            name, mode = file["path"], "lfs" if file["path"].endswith(LFS_SUFFIXES) else "regular"
            answer = {"path": name, "uploadMode": mode, "shouldIgnore": False}
            if name in there:
                answer["oid"] = sha256(there[name]) if mode == "lfs" else git_sha1(there[name])
            answers.append(answer)
        return 200, {"files": answers}, {}

    def _lfs_batch(self, repo_id):
        self._repo(repo_id, write=True)
        objects = []
        for asked in json.loads(self.seen.body)["objects"]:
            one = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in self.hub._lfs:
                signed = f"{self.hub.url}/lfs/{asked['oid']}?size={asked['size']}"
                verify = f"{self.hub.url}/api/{'' if repo_id.startswith('spaces/') else 'models/'}{repo_id}/lfs-verify"
                one["actions"] = {"upload": {"href": signed}, "verify": {"href": verify}}
            objects.append(one)
        return 200, {"transfer": "basic", "objects": objects}, {"Content-Type": "application/vnd.git-lfs+json"}

    def _lfs_put(self, oid):
        size = int(parse_qs(urlsplit(self.path).query)["size"][0])
        if len(self.seen.body) != size or sha256(self.seen.body) != oid:
            raise _Refusal(400, "the content is not what was announced")
        self.hub._lfs[oid] = self.seen.body
        return 200, b"", {}

    def _lfs_verify(self, repo_id):
        self._repo(repo_id, write=True)
        if json.loads(self.seen.body)["oid"] not in self.hub._lfs:
            raise _Refusal(404, "no such object")
        return 200, {}, {}

    def _commit_files(self, repo_id, revision):
        repo = self._repo(repo_id, write=True)
        head = self._commit(repo, revision)
        lines = [json.loads(line) for line in self.seen.body.splitlines()]
        header = lines[0]["value"]
        if header.get("parentCommit") not in (None, head.oid):
            raise _Refusal(412, "A commit has happened since. Please refresh and try again.")
        files = dict(head.files)
        for line in lines[1:]:
            kind, value = line["key"], line["value"]
            if kind == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif kind == "lfsFile":
                if value["oid"] not in self.hub._lfs:
                    raise _Refusal(400, f"LFS object {value['oid']} was never uploaded")
                files[value["path"]] = self.hub._lfs[value["oid"]]
            elif kind == "deletedFile":
                if files.pop(value["path"], None) is None:
                    raise _Refusal(404, "A file with this name doesn't exist", "EntryNotFound")
            else:
                raise _Refusal(400, f"unknown operation {kind}")
        made = repo.add(header["summary"], files)
        url = f"{self.hub.url}/{repo_id}/commit/{made.oid}"
        return 200, {"success": True, "commitUrl": url, "commitOid": made.oid, "hookOutput": ""}, {}

    def _info(self, repo_id, revision="main"):
        repo, name = self._repo(repo_id), repo_id.removeprefix("spaces/")
        commit = self._commit(repo, revision)
        return 200, {
            "_id": "0", "id": name, "modelId": name, "author": _owner(repo_id), "sha": commit.oid,
            "private": repo.private, "gated": False, "disabled": False, "downloads": 0, "likes": 0, "tags": [],
            "siblings": [{"rfilename": name} for name in sorted(commit.files)],
        }, {}  # fmt: skip

    def _tree(self, repo_id, revision, _folder=None):
        commit = self._commit(self._repo(repo_id), revision)
        if _folder:  # everything lies flat here
            raise _Refusal(404, f"{_folder} does not exist", "EntryNotFound")
        return 200, [_entry(name, content) for name, content in sorted(commit.files.items())], {}

    def _paths_info(self, repo_id, revision):
        commit = self._commit(self._repo(repo_id), revision)
        text = self.seen.body.decode()
        form = text if text.startswith("{") else None
        wanted = json.loads(form)["paths"] if form else parse_qs(text).get("paths", [])
        return 200, [_entry(name, commit.files[name]) for name in wanted if name in commit.files], {}

    def _resolve(self, repo_id, revision, name):
        commit = self._commit(self._repo(repo_id), revision)
        if name not in commit.files:
            raise _Refusal(404, "Entry not found", "EntryNotFound")
        content = commit.files[name]
        headers = {"X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        if name.endswith(LFS_SUFFIXES):
            headers |= {"X-Linked-Etag": f'"{sha256(content)}"', "X-Linked-Size": str(len(content))}
            headers["ETag"] = f'"{sha256(content)}"'
        else:
            headers["ETag"] = f'"{git_sha1(content)}"'
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked:
            start, end = int(asked[1]), int(asked[2] or len(content) - 1)
            if start >= len(content):
                raise _Refusal(416, "Requested range is not satisfiable")
            headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
            return 206, content[start : end + 1], headers
        return 200, content, headers


_ID = r"((?:spaces/)?[\w.-]+/[\w.-]+)"
_API = rf"/api/(?:models/)?{_ID}"
_REVISION = r"([\w.-]+)"
_ROUTES = (
    ("GET", r"/api/whoami-v2", "_whoami"),
    ("POST", r"/api/repos/create", "_create"),
    ("POST", r"/api/validate-yaml", "_validate_yaml"),
    ("POST", rf"{_API}/preupload/{_REVISION}", "_preupload"),
    ("POST", rf"/{_ID}\.git/info/lfs/objects/batch", "_lfs_batch"),
    ("PUT", r"/lfs/([0-9a-f]{64})", "_lfs_put"),
    ("POST", rf"{_API}/lfs-verify", "_lfs_verify"),
    ("POST", rf"{_API}/commit/{_REVISION}", "_commit_files"),
    ("GET", rf"{_API}", "_info"),
    ("GET", rf"{_API}/revision/{_REVISION}", "_info"),
    ("GET", rf"{_API}/tree/{_REVISION}(?:/(.+))?", "_tree"),
    ("POST", rf"{_API}/paths-info/{_REVISION}", "_paths_info"),
    ("GET HEAD", rf"/{_ID}/resolve/{_REVISION}/(.+)", "_resolve"),
)


def _entry(name: str, content: bytes) -> dict:
    entry = {"type": "file", "path": name, "size": len(content), "oid": git_sha1(content)}
    if name.endswith(LFS_SUFFIXES):
        entry["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 134}
    return entry


def _owner(repo_id: str) -> str:
    return repo_id.removeprefix("spaces/").partition("/")[0]
