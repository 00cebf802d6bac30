"""What the Hub on 127.0.0.1 keeps: users, and repositories with their commits, all in memory."""

import hashlib
from dataclasses import dataclass, field


@dataclass
class User:
    """Whom a token belongs to, and what it may do."""

    name: str
    orgs: tuple[str, ...] = ()
    role: str = "write"


@dataclass
class Commit:
    """A state of a repository: its hash, title, and files by name."""

    oid: str
    title: str
    files: dict[str, bytes]


@dataclass
class Repo:
    """A repository; `commits` are in order, the first made by the server as the Hub does.

    That of a Space is kept as `spaces/user/name`, as in its address.
    """

    repo_id: str
    private: bool
    commits: list[Commit] = field(default_factory=list)

    @property
    def files(self) -> dict[str, bytes]:
        """Files at the last commit, apart from the server's own .gitattributes."""
        return {name: content for name, content in self.commits[-1].files.items() if name != ".gitattributes"}

    def at(self, revision: str) -> Commit | None:
        if revision == "main":
            return self.commits[-1]
        return next((commit for commit in self.commits if commit.oid == revision), None)

    def add(self, title: str, files: dict[str, bytes]) -> Commit:
        listing = "".join(f"{name} {sha256(content)}\n" for name, content in sorted(files.items()))
        oid = hashlib.sha1(f"{self.repo_id} {len(self.commits)} {title}\n{listing}".encode()).hexdigest()
        self.commits.append(Commit(oid, title, files))
        return self.commits[-1]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_sha1(content: bytes) -> str:
    """The hash git gives a file: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
