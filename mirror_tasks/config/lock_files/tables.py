"""Tables of a lock, read key by key; what is not as its format says is a ValueError that names the place."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from packaging.markers import InvalidMarker, Marker
from packaging.utils import InvalidName, NormalizedName, canonicalize_name
from packaging.version import Version

from mirror_tasks.config.blocks import show

_DEEPEST_MARKER = 50
"""How deep the parentheses of a marker may be nested: no tool writes more than three, and readers recurse."""


class Table:
    """One table of a lock.

    :param value: what TOML or JSON gave.
    :param place: its key path, such as ``package[3].source``; empty for the whole file.
    :param advice: what to do about a fault, such as "make it anew with `uv lock`".
    :raises ValueError: it is no table.
    """

    __slots__ = ("_advice", "_values", "place")

    def __init__(self, value: object, place: str, advice: str) -> None:
        self.place = place
        self._advice = advice
        if not isinstance(value, Mapping):
            raise self.fault("", "a table", value)
        self._values: Mapping[object, object] = value

    def path(self, key: str) -> str:
        """Return the key path of one key of this table."""
        return ".".join(part for part in (self.place, key) if part)

    def fault(self, key: str, expected: str, found: object) -> ValueError:
        """Return the error for one key, or for the table itself if the key is empty."""
        return self.problem(key, f"expected {expected}, found {show(found)}")

    def problem(self, key: str, problem: str) -> ValueError:
        """As :meth:`fault`, in other words."""
        return ValueError(f"{self.path(key) or 'the file'}: {problem}; {self._advice}")

    def has(self, key: str) -> bool:
        """Say if the key is there."""
        return key in self._values

    def get(self, key: str) -> object:
        """Return what the file has for the key, or None."""
        return self._values.get(key)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys in the order of the file."""
        return tuple(map(str, self._values))

    def text(self, key: str) -> str | None:
        """Return a string, or None where the key is missing."""
        value = self._values.get(key)
        if value is None or isinstance(value, str):
            return value
        raise self.fault(key, "a string", value)

    def needed_text(self, key: str) -> str:
        """Return a string that is there and not empty."""
        value = self._values.get(key)
        if isinstance(value, str) and value:
            return value
        raise self.fault(key, "a string", value)

    def number(self, key: str) -> int | None:
        """Return a whole number from 0 on, or None where the key is missing."""
        value = self._values.get(key)
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
            return value
        raise self.fault(key, "a whole number", value)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return the strings of a list; none where the key is missing."""
        values = self.list(key)
        for index, value in enumerate(values):
            if not isinstance(value, str):
                raise self.fault(f"{key}[{index}]", "a string", value)
        return tuple(map(str, values))

    def flag(self, key: str) -> bool:
        """Return true or false; false where the key is missing."""
        value = self._values.get(key, False)
        if isinstance(value, bool):
            return value
        raise self.fault(key, "true or false", value)

    def name(self, key: str) -> NormalizedName:
        """Return the name of a project, normalised."""
        return self.as_name(key, self.needed_text(key))

    def names(self, key: str) -> tuple[NormalizedName, ...]:
        """Return the names of a list, normalised, each once; none where the key is missing."""
        return tuple(dict.fromkeys(self.as_name(f"{key}[{index}]", one) for index, one in enumerate(self.texts(key))))

    def as_name(self, key: str, text: str) -> NormalizedName:
        """Return ``text``, which stands at ``key``, as a normalised name."""
        try:
            return canonicalize_name(text, validate=True)
        except InvalidName:
            raise self.fault(key, "a name of letters, digits, and . _ - between them", text) from None

    def version(self, key: str) -> Version | None:
        """Return a version, or None where the key is missing."""
        text = self.text(key)
        try:
            return None if text is None else _version(text)
        except ValueError:
            raise self.fault(key, "a version (PEP 440)", text) from None

    def needed_version(self, key: str) -> Version:
        """Return a version that is there."""
        version = self.version(key)
        if version is None:
            raise self.fault(key, "a version (PEP 440)", None)
        return version

    def marker(self, key: str) -> str:
        """Return a marker as ``packaging`` writes it; empty where the key is missing."""
        text = self.text(key)
        return self._marker(key, text) if text else ""

    def markers(self, key: str) -> tuple[str, ...]:
        """Return the markers of a list, each as ``packaging`` writes it; none where the key is missing."""
        return tuple(self._marker(f"{key}[{index}]", text) for index, text in enumerate(self.texts(key)))

    def table(self, key: str) -> Table:
        """Return a table; an empty one where the key is missing."""
        return Table(self._values.get(key, {}), self.path(key), self._advice)

    def tables(self, key: str) -> list[Table]:
        """Return the tables of a list; none where the key is missing."""
        place = self.path(key)
        return [Table(value, f"{place}[{index}]", self._advice) for index, value in enumerate(self.list(key))]

    def inner(self, key: str, value: object) -> Table:
        """Return a table that stands at ``key``, or that a shorter form of writing there stands for."""
        return Table(value, self.path(key), self._advice)

    def lists_of_tables(self, key: str) -> list[list[Table]]:
        """Return the tables of a list of lists; none where the key is missing."""
        lists = enumerate(self.list(key))
        return [Table({"": value}, f"{self.path(key)}[{index}]", self._advice).tables("") for index, value in lists]

    def list(self, key: str) -> list[object]:
        """Return a list; an empty one where the key is missing."""
        value = self._values.get(key, [])
        if isinstance(value, list):
            return value
        raise self.fault(key, "a list", value)

    def _marker(self, key: str, text: str) -> str:
        try:
            return _canonical(text)
        except ValueError:
            raise self.fault(key, "a marker (PEP 508)", text) from None


@lru_cache(maxsize=1 << 14)
def _version(text: str) -> Version:
    return Version(text)


@lru_cache(maxsize=1 << 14)
def _canonical(text: str) -> str:
    depth = deepest = 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        deepest = max(deepest, depth)
    if deepest > _DEEPEST_MARKER or not text.isprintable():
        raise InvalidMarker("nested too deeply, or not one line")
    return str(Marker(text))
