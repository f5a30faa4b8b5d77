"""Another host for every address of a ccxt instance, for practice against a local server."""

from __future__ import annotations

import re
from typing import Any

HOST = re.compile(r"^(\w+)://([^/]+)")


def redirected(node: Any, base_url: str, keep_host: bool = False) -> Any:
    """``node`` (a template, or dictionaries of them) with ``base_url`` in place of scheme and host, paths as they are.

    ``wss://`` becomes ``ws://``. ``{hostname}`` and a port go with the host. ``keep_host`` puts the host's first label
    in front of the path, for a library that tells its own addresses apart by words in them.
    """
    if isinstance(node, dict):
        return {key: redirected(value, base_url, keep_host) for key, value in node.items()}
    if not isinstance(node, str):
        return node
    found = HOST.match(node)
    if found is None:
        return node
    base = re.sub("^http", "ws", base_url) if found[1].startswith("ws") else base_url
    label = "/" + found[2].split(".")[0] if keep_host else ""
    return base + label + node[found.end() :]
