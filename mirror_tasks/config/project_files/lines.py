"""Lists of requirements in a ``pyproject.toml``; what is wrong in them is told with its key path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name

from mirror_tasks.config.blocks import Block, show
from mirror_tasks.config.long_numbers import TOO_LONG, has_long_number
from mirror_tasks.config.project_files.model import Dependencies, Dependency, Source
from mirror_tasks.config.project_files.sources import source_of_url
from mirror_tasks.errors import Fault

_LONGEST_VERSION = 200


class Lines:
    """Reads the lists of one file.

    :param path: of the file.
    :param shown: its name for messages.
    :param sources: what comes from elsewhere than an index, by name.
    :param faults: where faults are added.
    """

    def __init__(self, path: Path, shown: str, sources: Mapping[NormalizedName, Source], faults: list[Fault]) -> None:
        self.folder = path.parent
        self._shown = shown
        self._sources = sources
        self._faults = faults

    def dependencies(self, block: Block, key: str) -> Dependencies:
        """Return the requirements of a list; none where the key is missing."""
        return self.parsed(texts(block, key), block.path(key))

    def by_name(self, table: Block) -> dict[NormalizedName, Dependencies]:
        """Return the lists of a table by their names, normalised."""
        return {canonicalize_name(name): self.dependencies(table, name) for name in names(table)}

    def parsed(self, texts: Sequence[str], key_path: str) -> Dependencies:
        """Return the requirements of a list that stands at a key path."""
        return tuple(self._parsed(texts, key_path))

    def _parsed(self, texts: Sequence[str], key_path: str) -> Iterator[Dependency]:
        for position, text in enumerate(texts):
            where = f"{key_path}[{position}]"
            requirement = self.requirement(text, where)
            if requirement is not None:
                yield self.dependency(requirement, where)

    def requirement(self, text: str, where: str) -> Requirement | None:
        """Return the requirement that a text is; None, with a fault at a key path, where it is none."""
        try:
            if has_long_number(text):
                raise ValueError(f"it {TOO_LONG}")  # noqa: TRY301 - told as all others are
            requirement = Requirement(text)
            check_versions(requirement.specifier)
        except (ValueError, RecursionError) as error:  # InvalidRequirement among them
            reason = str(error).splitlines()[0] if isinstance(error, ValueError) else "it is nested too deep"
            problem = f"expected a requirement such as requests>=2.24, found {show(text)}: {reason[:200]}"
            self._faults.append(Fault(where, problem))
            return None
        return requirement

    def dependency(self, requirement: Requirement, where: str) -> Dependency:
        """Return a requirement with its place, and where it comes from."""
        source = self._sources.get(canonicalize_name(requirement.name))
        if requirement.url:
            source = source_of_url(self.folder, requirement.url)
        return Dependency(requirement, f"{self._shown}: {where}", source)


def check_versions(specifier: SpecifierSet) -> None:
    """Check that Python can read the numbers in a specifier.

    :raises ValueError: it has one that is longer than any version.
    """
    if any(len(one.version) > _LONGEST_VERSION for one in specifier):
        raise ValueError(f"a version of more than {_LONGEST_VERSION} letters")


def texts(block: Block, key: str) -> list[str]:
    """Return a list of texts; an empty one where the key is missing or, with a fault, is something else."""
    value = block.get(key)
    if value is None or (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        return value or []
    block.fault(key, f"expected a list of texts, found {show(value)}")
    return []


def names(table: Block) -> list[str]:
    """Return the keys of a table by name; two that are one name when normalised are a fault."""
    known: dict[str, str] = {}
    for name in [str(key) for key, _ in table.items()]:
        other = known.setdefault(canonicalize_name(name), name)
        if other != name:
            table.fault(name, f"the name is the same as {show(other)}")
    return list(known.values())
