"""A digest of a whole configuration: what is made from one is made from an equal one, where this is the same."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version

from mirror_tasks.config.environments import Environment
from mirror_tasks.config.model import Config
from mirror_tasks.files import sha256_of_bytes
from mirror_tasks.text import redact, without_credentials


def digest_of(config: Config) -> str:
    """Return the SHA-256 of all that a configuration says, in hexadecimal; it is the same in each process.

    Credentials have no part in it, for it is kept: they lead to what an index has, and are nothing that a plan is made from.
    """
    said = json.dumps(_fields(config), sort_keys=True, separators=(",", ":"), default=_plain)
    return sha256_of_bytes(said.encode())


def _plain(value: Any) -> Any:
    """Return what JSON has no form for in one that is equal where the value is.

    :raises TypeError: it is of a kind that no configuration had when this was written.
    """
    if isinstance(value, Environment):
        return value.to_json()
    if dataclasses.is_dataclass(value):
        return _fields(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, (Path, Version, Requirement, datetime.date)):
        return redact(str(value))
    raise TypeError(f"expected a value of a configuration, found {type(value).__name__}")


def _fields(value: Any) -> Mapping[str, Any]:
    """Return the fields of a dataclass by name; what is never shown may have credentials in it."""
    fields = ((field, getattr(value, field.name)) for field in dataclasses.fields(value))
    return {field.name: one if field.repr else _without_credentials(one) for field, one in fields}


def _without_credentials(value: Any) -> Any:
    return without_credentials(value) if isinstance(value, str) else value
