"""What did not arrive, as ``receive.py --missing`` writes it; no I/O."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

MOST_BYTES = 100 << 20


@dataclass(frozen=True, slots=True)
class Missing:
    """Contents of a bundle that are to be sent again, by their SHA-256.

    :param manifest: the SHA-256 of the manifest of the bundle.
    """

    stream: str
    sequence: int
    manifest: str
    contents: tuple[str, ...]


def read_missing(content: bytes) -> Missing:
    """Return what such a file says.

    :raises ValueError: it is none; the message says what was expected.
    """
    if len(content) > MOST_BYTES:
        raise ValueError(f"expected at most {MOST_BYTES} bytes, found more")
    try:
        found = json.loads(content)
        if found["format"] != 1:
            raise ValueError(f"expected format 1, found {str(found['format'])[:40]}")
        one = Missing(found["stream"], found["sequence"], found["manifest"], tuple(dict.fromkeys(found["contents"])))
    except (KeyError, TypeError, AttributeError, RecursionError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"expected the file that receive.py --missing writes ({type(error).__name__})") from None
    if not isinstance(one.stream, str) or type(one.sequence) is not int:
        raise ValueError("expected the stream and the number of a bundle, found something else")
    if not one.contents or not all(map(_is_digest, (one.manifest, *one.contents))):
        raise ValueError("expected SHA-256 digests of what is missing, found something else")
    return one


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None
