"""Mappings of ``mirror.yaml``, read key by key: what is wrong is collected as faults, with its place and a hint.

Each reading method returns the value, or its default where the value is missing or wrong; a wrong one leaves a
:class:`~mirror_tasks.errors.Fault`, so that one run reports all of them.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from mirror_tasks.errors import Fault
from mirror_tasks.text import redact

_D = TypeVar("_D")


class _Shown(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 80
        self.maxlevel = 2  # aliases can make a small file as deep and wide as they like

    def repr_str(self, x: str, level: int) -> str:  # before it is cut short, or a cut could hide the @
        return super().repr_str(redact(x), level)


def show(value: object) -> str:
    """Return ``value`` as it is quoted in a message: short, on one line, without credentials."""
    return _Shown().repr(value)


def did_you_mean(value: object, known: Iterable[str]) -> str:
    """Return "; did you mean …?" for the closest of the known words, or an empty string if none is close."""
    close = difflib.get_close_matches(str(value).strip().lower(), list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def unknown(what: str, value: object, known: Iterable[str]) -> str:
    """Return the problem of a word that is none of the known ones, naming them and the closest."""
    words = list(known)
    hint = did_you_mean(value, words) or f"; expected {'one of ' * (len(words) > 1)}{', '.join(words)}"
    return f"unknown {what} {show(value)}{hint}"


class Block:
    """One mapping of ``mirror.yaml``.

    :param value: what YAML gave; anything but a mapping is a fault and reads as an empty one.
    :param key_path: its place, such as ``environments.laptop``; empty for the whole file.
    :param faults: where faults are added.
    """

    def __init__(self, value: object, key_path: str, faults: list[Fault]) -> None:
        self._key_path = key_path
        self._faults = faults
        self._values: Mapping[object, object] = {}
        if isinstance(value, Mapping):
            self._values = value
        else:
            self.fault("", f"expected keys and values, found {show(value)}")

    def path(self, key: str) -> str:
        """Return the key path of one key of this mapping."""
        return ".".join(part for part in (self._key_path, key) if part)

    def fault(self, key: str, problem: str) -> None:
        """Add a fault at one key, or at the mapping itself if the key is empty."""
        self._faults.append(Fault(self.path(key) or "the file", problem))

    @property
    def faulty(self) -> bool:
        """Whether any fault was found so far."""
        return bool(self._faults)

    def add(self, fault: Fault) -> None:
        """Add a fault that was found elsewhere."""
        self._faults.append(fault)

    def only(self, known: Iterable[str]) -> None:
        """Add a fault for each key that is not a known one."""
        words = list(known)
        for key in self._values:
            if key not in words:
                self.fault(str(key)[:80], unknown("key", key, words))

    def has(self, key: str) -> bool:
        """Say if the key is there with a value; a key with nothing behind it counts as left out."""
        return self._values.get(key) is not None

    def get(self, key: str) -> object:
        """Return what YAML gave for the key, or None."""
        return self._values.get(key)

    def items(self) -> Iterable[tuple[object, object]]:
        """Return the keys and values in the order of the file."""
        return self._values.items()

    def string(self, key: str, default: _D) -> str | _D:
        """Read a string that is not empty."""
        value = self._values.get(key)
        if value is None:
            return default
        if isinstance(value, str) and value.strip() and value.strip().isprintable():
            return value.strip()
        self.fault(key, f"expected one line of text, found {show(value)}")
        return default

    def version(self, key: str, example: str) -> str | None:
        """Read a version; YAML reads one without quotes as a number, and 3.10 as 3.1, so that quotes are needed."""
        value = self._values.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            advice = "without quotes YAML reads a number, and 3.10 as 3.1"
            self.fault(key, f'expected a version in quotes such as "{example}", found the number {value}; {advice}')
            return None
        return self.string(key, None)

    def boolean(self, key: str, default: bool) -> bool:
        """Read true or false."""
        value = self._values.get(key)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.fault(key, f"expected true or false, found {show(value)}")
        return default

    def integer(self, key: str, default: int, lowest: int, highest: int) -> int:
        """Read a whole number between two bounds, both allowed."""
        value = self._values.get(key)
        if value is None:
            return default
        if isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest:
            return value
        self.fault(key, f"expected a whole number from {lowest} to {highest}, found {show(value)}")
        return default

    def choice(self, key: str, default: _D, known: Iterable[str], what: str = "value") -> str | _D:
        """Read one of the known words; ``what`` says in a message what they are."""
        value = self._values.get(key)
        if value is None:
            return default
        words = list(known)
        if isinstance(value, str) and value in words:
            return value
        self.fault(key, unknown(what, value, words))
        return default
