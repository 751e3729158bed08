"""The phil files of DIALS users, e.g. the ``mask.phil`` that ``dials.image_viewer`` saves: values and nested scopes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mxdask.errors import FileError

# A scope's content in order: (name, text of a value) or (name, content of a scope).
PhilItems = list[tuple[str, "str | PhilItems"]]

_TOKEN = re.compile(r"""\s*(?:\#.*|(?P<string>"[^"]*"|'[^']*')|(?P<mark>[{}=;])|(?P<word>[^\s{}=;#"']+))""")


def read_phil(path: str | Path) -> PhilItems:
    """Names and values of a phil file, in order; dotted names and attributes (``.type = …``) as they stand.

    Raises
    ------
    FileError : missing, not text, or braces that do not match.
    """
    try:
        text = Path(path).read_text()
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: not a text file ({error.reason})") from error
    tokens = _tokens(text)
    items, end = _scope(tokens, 0, str(path))
    if end != len(tokens):
        raise FileError(f"{path}: a closing brace too many")
    return items


def assignments(items: PhilItems, *, without: tuple[str, ...] = (), prefix: str = "") -> Iterator[str]:
    """``name=value`` words; a block of a repeated scope begins with its first parameter, set or not.

    Parameters
    ----------
    without : outermost scopes to leave out. prefix : scope that the items are in, with the dot at its end.
    """
    for name, value in items:
        path = f"{prefix}{name}"
        if isinstance(value, list):
            if path == "untrusted":
                panel = next((v for n, v in value if n == "panel" and isinstance(v, str)), "None")
                yield f"untrusted.panel={panel}"
                value = [(n, v) for n, v in value if n != "panel"]
            yield from assignments(value, without=without, prefix=f"{path}.")
        elif not name.startswith(".") and path.split(".")[0] not in without and value != "None":
            yield f"{path}={value}"


def _tokens(text: str) -> list[tuple[str, str]]:
    """(kind, text) of the words; a line that ends in a backslash goes on on the next."""
    text = text.replace("\\\n", " ").replace("\r", "")
    found = []
    for line in text.split("\n"):
        for match in _TOKEN.finditer(line):
            if match.lastgroup is not None:
                word = match.group(match.lastgroup)
                found.append((match.lastgroup, word[1:-1] if match.lastgroup == "string" else word))
        found.append(("newline", "\n"))
    return found


def _scope(tokens: list[tuple[str, str]], at: int, path: str) -> tuple[PhilItems, int]:
    """Items up to the closing brace of this scope (or the end of the file), and where that is."""
    items: PhilItems = []
    while at < len(tokens):
        kind, word = tokens[at]
        if (kind, word) == ("mark", "}"):
            return items, at
        if kind == "newline" or (kind, word) == ("mark", ";"):
            at += 1
            continue
        following = at + 1
        while following < len(tokens) and tokens[following][0] == "newline":
            following += 1  # the brace may stand on a line of its own
        if following == len(tokens) or tokens[following] not in (("mark", "{"), ("mark", "=")):
            raise FileError(f"{path}: {word!r} is followed by neither = nor {{; not a phil file")
        if tokens[following][1] == "{":
            inside, at = _scope(tokens, following + 1, path)
            if at == len(tokens):
                raise FileError(f"{path}: the scope {word!r} is not closed")
            items.append((word, inside))
            at += 1
            continue
        at = following + 1
        values = []
        while at < len(tokens) and tokens[at][0] in ("word", "string"):
            values.append(tokens[at][1])
            at += 1
        items.append((word, " ".join(values)))
    return items, at
