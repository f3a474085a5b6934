"""``[tool.poetry]``: what a project requires, as Poetry itself reads it.

=========================================  ===========================================================================
key                                        how it is read
=========================================  ===========================================================================
``dependencies``                           the dependencies, where ``[project]`` does not say them or leaves them open by
                                           ``dynamic``; else it says more of them: where they come from
``dependencies.python``                    the Requires-Python, where ``[project]`` does not say it
``extras``                                 names of dependencies that are ``optional``; where ``[project]`` has neither
                                           dependencies nor extras
``group.NAME.dependencies``                a group, with those of its ``include-groups``; ``dev-dependencies`` is ``dev``
``package-mode``                           ``false``: it is not built
=========================================  ===========================================================================

https://python-poetry.org/docs/dependency-specification/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from mirror_tasks.config.blocks import show
from mirror_tasks.config.lock_files.poetry_edges import dependencies_of
from mirror_tasks.config.lock_files.tables import Table
from mirror_tasks.config.model import NamedIndex
from mirror_tasks.config.poetry_constraints import Constraint, parse_constraint
from mirror_tasks.config.project_files.lines import check_versions
from mirror_tasks.config.project_files.model import Dependencies, Dependency, Source
from mirror_tasks.config.project_files.sources import source_of_path
from mirror_tasks.errors import Fault

_ADVICE = "correct it, or say it in [project]"


class _Written(NamedTuple):
    """A dependency, and whether it is one of those that only extras bring."""

    dependency: Dependency
    is_optional: bool


@dataclass(frozen=True, slots=True)
class PoetryTables:
    """What ``[tool.poetry]`` says; empty where there is none.

    :param requires_python: specifiers, of which one has to allow the Python.
    :param sources: where dependencies come from that no index serves.
    :param is_package: it is built.
    """

    name: str = ""
    requires_python: tuple[str, ...] = ()
    dependencies: Dependencies = ()
    extras: Mapping[NormalizedName, Dependencies] = field(default_factory=dict)
    groups: Mapping[NormalizedName, Dependencies] = field(default_factory=dict)
    sources: Mapping[NormalizedName, Source] = field(default_factory=dict)
    is_package: bool = True


def read_poetry(
    written: object, standard: Mapping[NormalizedName, Dependencies], path: Path, shown: str, faults: list[Fault]
) -> PoetryTables:
    """Return what ``[tool.poetry]`` says; what is wrong is added to the faults.

    :param written: the table; None for none.
    :param standard: the groups that stand in ``[dependency-groups]``; of these Poetry's tables only say more.
    :param shown: the file's name for messages.
    """
    if written is None:
        return PoetryTables(groups=standard)
    try:
        return _Reader(Table(written, "tool.poetry", _ADVICE), standard, path.parent, shown).tables()
    except ValueError as error:
        place, _, problem = str(error).partition(": ")
        faults.append(Fault(place, problem))
        return PoetryTables()


class _Reader:
    """Reads the tables; the first fault is a ValueError that begins with its key path."""

    def __init__(
        self, poetry: Table, standard: Mapping[NormalizedName, Dependencies], folder: Path, shown: str
    ) -> None:
        self._poetry = poetry
        self._standard = standard
        self._folder = folder
        self._shown = shown

    def tables(self) -> PoetryTables:
        main = list(self._dependencies(self._poetry.table("dependencies")))
        return PoetryTables(
            name=canonicalize_name(self._poetry.text("name") or ""),
            requires_python=self._requires_python(),
            dependencies=tuple(one.dependency for one in main if not one.is_optional),
            extras=dict(self._extras(main)),
            groups=self._groups(),
            sources={one.name: one.source for one, _ in main if one.source is not None},
            is_package=self._poetry.get("package-mode") is not False,
        )

    def _requires_python(self) -> tuple[str, ...]:
        table = self._poetry.table("dependencies")
        key = next((key for key in table.keys if key.lower() == "python"), None)
        text = table.text(key) if key else None
        if not text or not key:
            return ()
        try:
            return tuple(str(one) for one in parse_constraint(text).alternatives)
        except ValueError:
            raise table.fault(key, "a constraint such as ^3.10 or >=3.10,<4.0", text) from None

    def _dependencies(self, table: Table) -> Iterator[_Written]:
        for key in table.keys:
            values = table.get(key)
            many = values if isinstance(values, list) else [values]
            one_table = Table({key: values}, table.place, _ADVICE)
            for (edge, is_optional), value in zip(dependencies_of(one_table), many, strict=False):
                assert isinstance(edge.constraint, Constraint), "Poetry's are"
                requirement = Requirement(edge.name)
                requirement.extras = set(edge.extras)
                requirement.specifier = self._specifier(edge.where, edge.constraint, value)
                if edge.markers:
                    text = " and ".join(f"({marker})" for marker in edge.markers)
                    requirement = Requirement(f"{requirement}; {text}")
                dependency = Dependency(requirement, f"{self._shown}: {edge.where}", self._source(value))
                yield _Written(dependency, is_optional)

    def _specifier(self, where: str, constraint: Constraint, value: object) -> SpecifierSet:
        found = as_one(constraint)
        if found is None:
            expected = "expected versions without a gap between them, since no client of an index can be told of one"
            raise ValueError(f"{where}: {expected}, found {show(value)}; write it as >=1,!=2.*,<4, or list the lock")
        try:
            check_versions(found)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        if isinstance(value, Mapping) and value.get("allow-prereleases") is True:
            found &= SpecifierSet(">=0.dev0")
        return found

    def _source(self, value: object) -> Source | None:
        """Return where a dependency comes from; None where any index may serve it."""
        if not isinstance(value, Mapping):
            return None
        if "source" in value:
            return self._named(str(value["source"]))
        if "git" in value:
            pin = next((f"@{value[key]}" for key in ("rev", "tag", "branch") if key in value), "")
            return Source(other=f"git+{value['git']}{pin}")
        if "url" in value:
            return Source(other=str(value["url"]))
        where = next((str(value[key]) for key in ("path", "file") if key in value), None)
        return None if where is None else source_of_path(self._folder, where)

    def _named(self, label: str) -> Source | None:
        if label.lower() == "pypi":  # Poetry's name for the index without a source
            return None
        urls = {table.text("name"): table.text("url") for table in self._poetry.tables("source")}
        known = {str(name).lower(): url for name, url in urls.items()}
        return Source(indexes=((NamedIndex(label, known.get(label.lower()) or ""), ""),))

    def _extras(self, main: list[_Written]) -> Iterator[tuple[NormalizedName, Dependencies]]:
        table = self._poetry.table("extras")
        for key in table.keys:
            names = {canonicalize_name(Requirement(name).name) for name in self._requirements(table, key)}
            yield table.as_name(key, key), tuple(one for one, _ in main if one.name in names)

    @staticmethod
    def _requirements(table: Table, key: str) -> Iterator[str]:
        for text in table.texts(key):
            try:
                yield Requirement(text).name
            except ValueError:
                raise table.fault(key, "names of dependencies", table.get(key)) from None

    def _groups(self) -> dict[NormalizedName, Dependencies]:
        table = self._poetry.table("group")
        own = dict(self._standard)
        includes: dict[NormalizedName, tuple[NormalizedName, ...]] = {}
        for key in table.keys:
            name, group = table.as_name(key, key), table.table(key)
            lines = tuple(one for one, _ in self._dependencies(group.table("dependencies")))
            own[name] = own.get(name) or lines
            includes[name] = tuple(group.names("include-groups"))
        for name in includes:
            if absent := [one for one in includes[name] if one not in own]:
                raise table.problem(f"{name}.include-groups", f"expected groups that are there, found {absent[0]}")
        groups = {name: tuple(_included(name, own, includes)) for name in own}
        if self._poetry.has("dev-dependencies"):
            dev = canonicalize_name("dev")
            older = self._dependencies(self._poetry.table("dev-dependencies"))
            groups[dev] = (*groups.get(dev, ()), *(one for one, _ in older))
        return groups


def _included(
    name: NormalizedName,
    own: Mapping[NormalizedName, Dependencies],
    includes: Mapping[NormalizedName, tuple[NormalizedName, ...]],
) -> Iterator[Dependency]:
    waiting, seen = [name], set[NormalizedName]()
    while waiting:
        one = waiting.pop(0)
        if one not in seen:
            seen.add(one)
            yield from own[one]
            waiting += includes.get(one, ())


def as_one(constraint: Constraint) -> SpecifierSet | None:
    """Return a constraint as one PEP 440 specifier; None where that can't say it.

    ``^1.2 || ^2.0`` can be said, since one range begins where the other ends.
    """
    if len(constraint.alternatives) == 1:
        return constraint.alternatives[0]
    ranges = [_range(one) for one in constraint.alternatives]
    known = sorted(
        (one for one in ranges if one is not None), key=lambda one: (one[0] is not None, one[0] or Version("0"))
    )
    if not known or len(known) < len(ranges):
        return None
    low, high = known[0]
    for start, end in known[1:]:
        if high is not None and start is not None and start > high:
            return None
        high = None if high is None or end is None else max(high, end)
    return SpecifierSet(",".join([*([f">={low}"] if low else []), *([f"<{high}"] if high else [])]))


def _range(specifier: SpecifierSet) -> tuple[Version | None, Version | None] | None:
    """Return where a specifier begins and before what it ends, None for either where it does not; None for another kind."""
    low: Version | None = None
    high: Version | None = None
    for one in specifier:
        if one.operator == "==" and one.version.endswith(".*"):
            low = Version(one.version[:-2])
            high = Version(".".join(map(str, (*low.release[:-1], low.release[-1] + 1))))
        elif one.operator == ">=" and low is None:
            low = Version(one.version)
        elif one.operator == "<" and high is None:
            high = Version(one.version)
        else:
            return None
    return low, high
