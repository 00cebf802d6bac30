"""Whether the Hub can be reached, asked once and quickly."""

import os
import socket
from urllib.parse import urlsplit
from urllib.request import getproxies

SECONDS = 3.0


def go_offline_if_unreachable() -> None:
    """Switch the Hub libraries to what is on this disk when the Hub does not answer.

    They would try each file six times over half a minute, with a warning each time, before they look into their cache.
    To be called before they are imported: they read the setting once. Behind a proxy nothing is tried: only the
    libraries know how to get through it.
    """
    endpoint = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    if os.environ.get("HF_HUB_OFFLINE") or endpoint.scheme in getproxies() or "all" in getproxies():
        return
    try:
        port = endpoint.port or (80 if endpoint.scheme == "http" else 443)
        socket.create_connection((endpoint.hostname, port), timeout=SECONDS).close()
    except (OSError, ValueError):
        print(f"note: {endpoint.netloc} cannot be reached; only what is on this disk is used", flush=True)
        os.environ["HF_HUB_OFFLINE"] = "1"
