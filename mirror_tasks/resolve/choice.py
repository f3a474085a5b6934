"""The choice for one demand: the releases that an installer would take, of those that are on the project's page.

Nothing is decided here on what did not arrive. A walk says what is missing; when that is there, it is begun anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from packaging.version import Version

from mirror_tasks.archives.core_metadata import CoreMetadata, Unusable, as_taken_by
from mirror_tasks.archives.requirements import requirements_of
from mirror_tasks.config.environments import Environment
from mirror_tasks.index.project import File, Project
from mirror_tasks.resolve.bounds import Bounds
from mirror_tasks.resolve.contradictions import BoundRequirement, bound_requirements
from mirror_tasks.resolve.demands import Demand, specifier_of
from mirror_tasks.resolve.judged_metadata import JudgedMetadata
from mirror_tasks.resolve.outcome import Failed
from mirror_tasks.resolve.selection import Candidate, Rules, files_to_mirror, fitting

_MOST_AHEAD = 32  # releases


class _Enough:
    """Counts how many releases each patch release of a range has got, until each has as many as were asked for."""

    def __init__(self, versions: str | int, all_patches: int) -> None:
        self._all = all_patches
        number = 1 if versions == "latest" else 0 if versions == "all" else int(versions)
        self._had = [0] * number  # the patch releases that have at least one, at least two, …

    def __bool__(self) -> bool:
        return bool(self._had) and self._had[-1] == self._all

    def lacks(self, patches: int) -> bool:
        """Say if some of these patch releases has not got enough."""
        return bool(patches and (not self._had or patches & ~self._had[-1]))

    def add(self, patches: int) -> None:
        """Give one release to patch releases."""
        for position, had in enumerate(self._had):
            self._had[position], patches = had | patches, had & patches


@dataclass(slots=True)
class Walk:
    """What a walk through the releases that fit a demand came to.

    :param environment: as whoever decides the demand judges it.
    :ivar chosen: the releases that were found, each with the file that an installer would take.
    :ivar missing: what has to arrive before that is certain, by the name of the task that brings it.
    :ivar weighed: the names of the files that this hangs on. They are the same in whichever order things arrive; of any
        other file it is chance if its metadata is known.
    :ivar failed: metadata that could not be had.
    """

    demand: Demand
    environment: Environment
    chosen: list[tuple[Candidate, File]] = field(default_factory=list)
    missing: dict[str, File | None] = field(default_factory=dict)
    weighed: set[str] = field(default_factory=set)
    failed: Failed | None = None
    enough: _Enough = field(init=False)

    def __post_init__(self) -> None:
        self.enough = _Enough(self.demand.versions, self.environment.all_patches)


class Choice:
    """Chooses releases by what arrived so far; the closure adds to that what comes.

    :param projects: the pages that arrived; ``metadata`` likewise, of files by their names.
    :param judgement: what the policy says of that metadata.
    :param bounds: those of each scope, by its number.
    :ivar contradicting: the releases that were passed over since no installation of the root can contain them, and why.
    """

    def __init__(
        self,
        rules: Rules,
        projects: Mapping[str, Project | Failed | None],
        metadata: Mapping[str, CoreMetadata | Unusable | Failed],
        judgement: JudgedMetadata,
        bounds: Sequence[Bounds],
    ) -> None:
        self.contradicting: dict[Demand, dict[Version, str]] = {}
        self._rules = rules
        self._projects = projects
        self._metadata = metadata
        self._judgement = judgement
        self._bounds = bounds
        self._had_no_hash: set[str] = set()  # files that were wanted when nothing told their hash

    def mark_unhashed(self, file: File) -> None:
        """Remember a file that is wanted while nothing tells its hash: it is read, whatever else comes."""
        if "sha256" not in file.hashes:
            self._had_no_hash.add(file.filename)

    def has_to_be_read(self, file: File) -> bool:
        """Say if not enough is known of a file unless it is read: it has no hash, or the policy judges by what it says."""
        return "sha256" not in file.hashes or self._judgement.is_needed

    def walk(self, demand: Demand, project: Project, environment: Environment) -> Walk:
        """Go through the releases that fit a demand until as many as it asks for were found.

        A release whose metadata did not arrive yet is taken to be good. Where the environment is a range, as many are
        found for each of its patch releases.

        :param environment: as whoever decides the demand judges it.
        """
        walk = Walk(demand, environment)
        candidates = fitting(project, specifier_of(demand), environment, self._rules, demand.hashes)
        refused = 0
        for one in candidates:
            refused += any(file.filename in self._judgement.refused for file in one.files)
            self._look_at(one, walk)
            if walk.failed or walk.enough:
                break
        if walk.missing and refused:
            walk.missing.update(self._ahead(candidates, refused))
        return walk

    def _look_at(self, one: Candidate, walk: Walk) -> None:
        """Take a release, or what has to arrive before it can be taken, for the patch releases that have not got enough."""
        for file, by_page, patches in self._judged(one, walk.environment):
            if not walk.enough.lacks(by_page):
                continue
            walk.weighed.add(file.filename)
            if not patches or self._contradicts(walk, one, file):
                continue
            found = self._metadata.get(file.filename)
            if isinstance(found, Failed):
                walk.failed = found
                return
            walk.weighed |= self._read_beside(one)
            if lacking := self._lacking(walk, one, file):
                walk.missing.update(lacking)
            else:
                walk.chosen.append((one, file))
            walk.enough.add(patches)

    def _read_beside(self, one: Candidate) -> set[str]:
        """Return the names of the files of a release that are read, whichever of them is installed, before it is taken."""
        files = files_to_mirror(one, self._rules)
        return {file.filename for file in files if self.has_to_be_read(file) or file.filename in self._had_no_hash}

    def _ahead(self, candidates: Iterator[Candidate], refused: int) -> Mapping[str, File]:
        """Return files to read ahead, by the names of the tasks that bring their metadata.

        Where the policy refused releases of a project by their metadata, it mostly refuses more of them, and to step back
        by one release with each round trip takes long.

        :param candidates: the releases that follow.
        :param refused: how many were refused.
        """
        following = islice(candidates, min(2 * refused, _MOST_AHEAD))
        # Where the wheel is refused, the sdist is looked at.
        files = (file for one in following for file in (one.files[0], one.files[-1]))
        return {f"metadata:{file.filename}": file for file in files if file.filename not in self._metadata}

    def _lacking(self, walk: Walk, one: Candidate, installs: File) -> dict[str, File | None]:
        """Return what has to arrive before a release can be taken.

        That is metadata, with it the hash of what has none yet, and the pages that tell if it contradicts a bound.
        """
        files = files_to_mirror(one, self._rules)
        unhashed = (file for file in files if "sha256" not in file.hashes)
        # The other files of a release are read only after the one that is installed: mostly they say the same.
        unjudged = self._judgement.to_read(files) if installs.filename in self._metadata else []
        bound = self._bound_requirements(walk, installs)
        pages = (one.name for one in bound if one.name not in self._projects)
        return {
            **{f"project:{name}": None for name in pages},
            **{
                f"metadata:{file.filename}": file
                for file in (installs, *unhashed, *unjudged)
                if file.filename not in self._metadata
            },
        }

    def _contradicts(self, walk: Walk, one: Candidate, installs: File) -> bool:
        """Say if no installation of the root can contain a file, and keep the reason for the plan."""
        for bound in self._bound_requirements(walk, installs):
            project = self._projects.get(bound.name)
            if isinstance(project, Project) and (reason := bound.contradiction(project.versions)):
                self.contradicting.setdefault(walk.demand, {})[one.version] = f"{installs.filename}: {reason}"
                return True
        return False

    def _bound_requirements(self, walk: Walk, installs: File) -> Iterator[BoundRequirement]:
        """Yield what a file always requires of other projects, where a line or a constraint of the root binds these."""
        bounds, metadata = self._bounds[walk.demand.scope], self._metadata.get(installs.filename)
        if bounds.specifiers and isinstance(metadata, CoreMetadata):
            others = (pair for pair in requirements_of(metadata.requires_dist) if pair[0] != walk.demand.project)
            yield from bound_requirements(others, bounds, walk.environment)

    def _judged(self, one: Candidate, environment: Environment) -> Iterator[tuple[File, int, int]]:
        """Yield the files of a release in the order in which an installer looks at them.

        With each come the patch releases on which it is looked at, and those on which it is taken: on each patch release
        the first file whose metadata is not known to be bad.
        """
        left = environment.all_patches
        for file in one.files:
            by_page = patches = left & environment.allows(file.requires_python)
            metadata = self._metadata.get(file.filename)
            if isinstance(metadata, Unusable):
                metadata = as_taken_by(environment.installer, metadata)
                patches = 0 if metadata is None else patches
            # An index need not give data-requires-python; the metadata then tells.
            if isinstance(metadata, CoreMetadata):
                patches &= environment.allows(metadata.requires_python)
            yield file, by_page, patches
            left &= ~patches
