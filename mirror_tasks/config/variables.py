"""``${VARIABLES}`` in what the user wrote: the values of environment variables."""

from __future__ import annotations

import os
import re


def expand_as_pip(text: str) -> str:
    """Replace ``${NAME}`` by the environment variable, as pip does: upper case only, unset ones stay."""
    return re.sub(r"\$\{([A-Z0-9_]+)\}", lambda match: os.environ.get(match[1]) or match[0], text)


def expand(text: str) -> str:
    """Return ``text`` with the values of the environment variables that it names as ``${NAME}``, each of which has to be set.

    :raises ValueError: one is not set, or its value can't stand where it is in a URL; the message shows no value.
    """
    for match in re.finditer(r"\$\{([^}]*)\}?", text):
        name, value = match[1], os.environ.get(match[1])
        if not re.fullmatch(r"[A-Z0-9_]+", name) or not match[0].endswith("}"):
            raise ValueError(
                f"{match[0]:.80} names no variable: expected ${{NAME}} in upper case; a $ of its own is %24"
            )
        if not value:
            raise ValueError(f"the environment variable {name} is not set")
        if "@" in text[match.end() :].partition("/")[0] and re.search(r"[/?#\s]", value):
            raise ValueError(f"the value of {name} has one of / ? # or white space: encode it with %, as in a URL")
    return expand_as_pip(text)
