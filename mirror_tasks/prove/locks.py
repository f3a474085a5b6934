"""The proof of locks: every package that a lock selects can be installed from the mirror, as the lock has it.

No resolver is asked, since the tools of locks ask none: they install the files that the lock names. So each package is
looked up in the published pages as such a tool does, by name, version, file name and hash, on each patch release at which the
lock selects something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from mirror_tasks.archives.core_metadata import CoreMetadata, Unusable, as_taken_by
from mirror_tasks.archives.requirements import parse_requirement
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.lock_files.model import LockedPackage, Selection
from mirror_tasks.config.model import Config, RequestedRequirement, Root
from mirror_tasks.errors import IntegrityError
from mirror_tasks.index.file_names import is_wheel
from mirror_tasks.index.project import File
from mirror_tasks.prove.published import Published
from mirror_tasks.prove.verdicts import Verdict, by_python
from mirror_tasks.resolve.locked import locked_files
from mirror_tasks.resolve.selection import Rules, applies, check_python
from mirror_tasks.resolve.solver import Conflict, Solver
from mirror_tasks.text import redact

_MOST_LINES = 10


@dataclass(frozen=True)
class LockProof:
    """Judges the locks of a configuration, each on the environments that it is for."""

    config: Config
    universe: Published

    def verdicts(self) -> Iterator[Verdict]:
        """Judge each pair of lock and environment."""
        for environment in self.config.environments:
            for root in self.config.roots:
                if root.lock is not None and environment.name in root.lock.selected:
                    yield self._verdict(root, environment, root.lock.selected[environment.name])

    def _verdict(self, root: Root, environment: Environment, selections: Sequence[Selection]) -> Verdict:
        reasons: dict[str, str] = {}
        warnings: dict[str, None] = {}
        for one in selections:
            judge = _Judge(root, environment.at(one.patch), one, self.universe)
            reasons[str(judge.environment.python)] = _first(list(judge.reasons()))
            warnings.update(dict.fromkeys(judge.warnings()))
        return Verdict(
            root.name, environment.name, "lock", by_python(reasons), tuple(reasons), warnings=tuple(warnings)
        )


@dataclass(frozen=True)
class _Judge:
    """Judges one selection of a lock, on one patch release."""

    root: Root
    environment: Environment
    selection: Selection
    universe: Published

    def reasons(self) -> Iterator[str]:
        """Yield why a package can't be installed, a sentence each."""
        for package in self.selection.packages:
            try:
                if reason := self._reason(package):
                    yield f"{package}: {reason}"
            except IntegrityError as error:
                yield f"{package}: {error}"

    def _reason(self, package: LockedPackage) -> str:
        project = self.universe.project(package.name)
        if project is None:
            return "the mirror has no such project"
        # A tool takes the best wheel that the lock names, whatever else there is, and an sdist where no wheel fits.
        found = locked_files(package, project, self.environment, Rules(sdists="fallback"))
        if found.faults:
            return "; ".join(found.faults)
        return self._reason_of_file(found.files[0], package)

    def _reason_of_file(self, file: File, package: LockedPackage) -> str:
        if not self.universe.has(file):
            return f"{file.filename} is on its page, and not in the mirror as it is announced there"
        metadata = self._metadata(file, package.name)
        if isinstance(metadata, Unusable):
            return metadata.reason
        if reason := check_python(metadata.requires_python, self.environment):
            return f"{file.filename}: {reason}"
        return "" if is_wheel(file.filename) else self._reason_of_build(file, metadata)

    def _metadata(self, file: File, name: NormalizedName) -> CoreMetadata | Unusable:
        metadata = self.universe.metadata(name, file)
        return as_taken_by(self.environment.installer, metadata) or metadata

    def _reason_of_build(self, file: File, metadata: CoreMetadata) -> str:
        """Return why an sdist can't be built: what that requires is resolved, within the lock's build constraints."""
        required = [one for line in metadata.build_requires if (one := parse_requirement(line)) is not None]
        lines = tuple(RequestedRequirement(requirement=one, where=file.filename) for one in required)
        lock = self.root.lock
        build = Root(
            name=f"building {file.filename}",
            key_path=self.root.key_path,
            requirements=lines,
            constraints=lock.build_constraints if lock else (),
        )
        found = Solver(self.environment, self.universe, Rules()).solve(build)
        return f"{build.name}: {'; '.join(found.lines)}" if isinstance(found, Conflict) else ""

    def warnings(self) -> Iterator[str]:
        """Yield what a package requires in every case and the lock does not have, as with overrides of the user's.

        Before that, what no index can bring to the lock's own tool.
        """
        for package in self.selection.packages:
            if package.source.startswith("git+"):
                yield f"{package} is {redact(package.source)} in the lock: the lock's own tool asks there, not the mirror"
        versions: dict[NormalizedName, list[Version]] = {}
        for package in self.selection.packages:
            versions.setdefault(package.name, []).append(package.version)
        for package in self.selection.packages:
            yield from self._not_met(package, versions)

    def _not_met(self, package: LockedPackage, versions: Mapping[NormalizedName, Sequence[Version]]) -> Iterator[str]:
        project = self.universe.project(package.name)
        found = project and locked_files(package, project, self.environment, Rules(sdists="fallback")).files
        metadata = self._metadata(found[0], package.name) if found else None
        if not isinstance(metadata, CoreMetadata):
            return
        for requirement in filter(None, map(parse_requirement, metadata.requires_dist)):
            locked = versions.get(canonicalize_name(requirement.name), ())
            if not applies(requirement, self.environment):
                continue
            if not any(requirement.specifier.contains(one, prereleases=True) for one in locked):
                has = f"{requirement.name} {', '.join(map(str, locked))}" if locked else f"no {requirement.name}"
                yield f"{package} requires {requirement}, and the lock has {has}"


def _first(lines: Sequence[str]) -> str:
    more = len(lines) - _MOST_LINES
    return "\n".join([*lines[:_MOST_LINES], f"and {more} more packages"] if more > 0 else lines)
