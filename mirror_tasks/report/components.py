"""What a mirror is made of: its releases, with all that a dossier says of each.

Everything is read from the plan, from the records, and, where these do not know it, from the files in the mirror; nothing
is asked of an index, and nothing that is not known is guessed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from packaging.utils import NormalizedName
from packaging.version import Version

from mirror_tasks.archives.core_metadata import CoreMetadata
from mirror_tasks.policy.advisories import Advisories, Match
from mirror_tasks.policy.licences import Licence, differing, licence_of
from mirror_tasks.report.graph import Edges, Key, asked_by, asked_directly, built_with, required_by, sort_key
from mirror_tasks.report.said import Unread, in_order, said_by
from mirror_tasks.resolve.plan import Plan, PlannedFile
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.state.origins import indexes_of


@dataclass(frozen=True, slots=True)
class Component:
    """A release in the mirror.

    :param files: those that stand in the mirror, by name.
    :param indexes: where each is from, by its name: the base URL of an index, or ``mirror.yaml`` for the user's own;
        what no page that is kept lists is not in it.
    :param summary: one line of foreign text, or None.
    :param matches: the advisories that meet it; None: it was not checked.
    :param requires: by environment, the releases that it requires to be installed there; (project, version), sorted.
    :param built_with: likewise, what building its sdist requires.
    :param direct: the environments on which a root asks for it itself, sorted; elsewhere others that are there require it.
    :param asked_by: the names of the roots on whose behalf it is there; none for what is only kept.
    :param kept: what left the plan and is kept for locks: until when, in words, by file name.
    :param unread: why nobody knows what it says of itself, so that nothing is said of its licence, and of what it requires
        only what the plan has; empty where it is known.
    """

    project: str
    version: str
    files: tuple[PlannedFile, ...]
    indexes: Mapping[str, str]
    licence: Licence
    summary: str | None
    matches: tuple[Match, ...] | None
    requires: Mapping[str, tuple[Key, ...]]
    built_with: Mapping[str, tuple[Key, ...]]
    direct: tuple[str, ...]
    asked_by: tuple[str, ...]
    kept: Mapping[str, str]
    unread: str

    @property
    def name(self) -> str:
        """The release's name as people write it."""
        return f"{self.project}-{self.version}"

    @property
    def key(self) -> Key:
        """By which other components name it."""
        return self.project, self.version

    @property
    def environments(self) -> tuple[str, ...]:
        """The environments that it is for, sorted; none for what is only kept."""
        planned = (one for one in self.files if one.filename not in self.kept)
        return tuple(sorted({name for one in planned for name in one.environments}))

    @property
    def size(self) -> int:
        """The bytes of its files, as far as their sizes are known."""
        return sum(one.size or 0 for one in self.files)


def components(mirror: Mirror, plan: Plan, advisories: Advisories | None) -> tuple[Component, ...]:
    """Return what stands in a mirror that is as its plan says, kept files too; sorted, of a project the oldest first.

    :param advisories: None where nobody was asked: nothing was checked.
    """
    making = _Making(mirror, plan, advisories)
    return tuple(making.component(key) for key in sorted(making.files, key=sort_key))


class _Making:
    """Makes the components of a mirror."""

    def __init__(self, mirror: Mirror, plan: Plan, advisories: Advisories | None) -> None:
        self.files = _by_release(plan)
        self._mirror = mirror
        self._advisories = advisories
        self._kept = plan.kept_by_filename
        self._installs: Mapping[Key, Mapping[str, str]] = {
            (one.project, one.version): one.installs for one in plan.releases
        }
        self._said: dict[Key, CoreMetadata | Unread] = {}
        self._requires = required_by(plan, mirror.config.environments, self._known)
        self._built_with = built_with(plan)
        self._direct = asked_directly(plan, self._requires, self._built_with)
        self._asked_by = asked_by(plan)
        self._indexes = _indexes(mirror, self.files)

    def component(self, key: Key) -> Component:
        """Return a release with all that is said of it."""
        files, said = self.files[key], self._of_itself(key)
        metadata = None if isinstance(said, Unread) else said
        unread = said.reason if isinstance(said, Unread) else ""
        return Component(
            project=key[0],
            version=key[1],
            files=files,
            indexes={one.filename: self._indexes[one.filename] for one in files if one.filename in self._indexes},
            licence=Licence(None, "", (), unread) if metadata is None else self._licence(files, metadata),
            summary=None if metadata is None else metadata.summary,
            matches=self._matches(key),
            requires=_edges_of(key, self._requires),
            built_with=_edges_of(key, self._built_with),
            direct=self._direct.get(key, ()),
            asked_by=self._asked_by.get(key, ()),
            kept={one.filename: self._kept[one.filename].how_long for one in files if one.filename in self._kept},
            unread=unread,
        )

    def _licence(self, files: Sequence[PlannedFile], metadata: CoreMetadata) -> Licence:
        """Return the licence of a release by the metadata of one of its files, if no other that was read says another one."""
        licence = licence_of(metadata)
        for file in files:
            record = self._mirror.records.metadata(file.filename, file.sha256)
            if record and isinstance(record.metadata, CoreMetadata):
                other = licence_of(record.metadata)
                if other.expression != licence.expression:
                    return differing(licence, other, file.filename)
        return licence

    def _known(self, key: Key) -> CoreMetadata | None:
        said = self._of_itself(key)
        return said if isinstance(said, CoreMetadata) else None

    def _of_itself(self, key: Key) -> CoreMetadata | Unread:
        if key not in self._said:
            self._said[key] = said_by(self._mirror, in_order(self.files[key], self._installs.get(key, {})))
        return self._said[key]

    def _matches(self, key: Key) -> tuple[Match, ...] | None:
        if self._advisories is None:
            return None
        return self._advisories.of_release(NormalizedName(key[0]), Version(key[1]))


def _edges_of(key: Key, edges: Edges) -> Mapping[str, tuple[Key, ...]]:
    return {name: by_release[key] for name, by_release in sorted(edges.items()) if key in by_release}


def _by_release(plan: Plan) -> Mapping[Key, tuple[PlannedFile, ...]]:
    grouped: dict[Key, list[PlannedFile]] = defaultdict(list)
    for one in (*plan.files, *(kept.planned for kept in plan.kept)):
        grouped[one.project, one.version].append(one)
    return {key: tuple(sorted(files, key=attrgetter("filename"))) for key, files in grouped.items()}


def _indexes(mirror: Mirror, files: Mapping[Key, tuple[PlannedFile, ...]]) -> Mapping[str, str]:
    """Return where each file is from; the pages of a project are read once."""
    by_project: dict[str, list[PlannedFile]] = defaultdict(list)
    for (project, _), some in files.items():
        by_project[project].extend(some)
    found: dict[str, str] = {}
    for project, of_project in by_project.items():
        found.update(indexes_of(mirror, project, of_project))
    return found
