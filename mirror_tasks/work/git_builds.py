"""What is built from the user's own repositories: each commit once, kept in the state folder under its name.

A branch or a tag is another commit tomorrow. The one that it was when it was first asked for is written down, and is taken
from there on, so that the same ``mirror.yaml`` makes the same mirror.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from mirror_tasks.archives.build_environment import From
from mirror_tasks.archives.source_build import Built, build
from mirror_tasks.config.bindings import general_index
from mirror_tasks.config.own_folders import distribution_of
from mirror_tasks.config.own_git import GitSource, is_commit
from mirror_tasks.config.own_sources import OwnFile
from mirror_tasks.errors import MetadataError
from mirror_tasks.files import have_folder, read_or_none, sealed, sha256_of, sha256_or_none, unsealed, write_whole
from mirror_tasks.index.client import Upstream
from mirror_tasks.index.own_page import KnownFile
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.state.places import built_record_path
from mirror_tasks.work.git import Clone, Commit

_FORMAT = 2
_PURE_ONLY = 1  # of a version that kept no other wheels: where it kept none, what it built is built once more


@dataclass(frozen=True, slots=True)
class _Record:
    """What was built of a source.

    :param files: SHA-256 and size by file name.
    :param without_wheel: why there is no wheel among them; empty where there is one.
    """

    source: str
    commit: str
    files: Mapping[str, tuple[str, int]]
    without_wheel: str


class GitBuilds:
    """The builds of one mirror."""

    def __init__(self, mirror: Mirror, upstream: Upstream) -> None:
        self._mirror = mirror
        self._folder = mirror.config.builds
        self._note = mirror.note
        self._upstream = upstream

    def files_of(self, project: str, source: GitSource) -> list[KnownFile]:
        """Return what is built of a source; it is built unless it was before.

        :raises UpstreamError: the repository can't be had.
        :raises MetadataError: it can't be built here, or is another project.
        """
        known = self._known(project)
        if known is None or known.source != source.shown or not self._is_there(project, known):
            known = self._build(project, source, known if known and known.source == source.shown else None)
        if known.without_wheel:
            self._note(f"{project}: only its sdist is mirrored, and built inside: {known.without_wheel}")
        return [
            KnownFile(OwnFile(name, (self._place(project, known.commit) / name).as_uri(), sha256), sha256, size)
            for name, (sha256, size) in sorted(known.files.items())
        ]

    def _place(self, project: str, commit: str) -> Path:
        return self._folder / project / commit

    def _known(self, project: str) -> _Record | None:
        try:
            data: dict[str, Any] = unsealed(read_or_none(built_record_path(self._folder, project)) or b"")
        except ValueError:
            return None
        if data.get("format") not in (_FORMAT, _PURE_ONLY):
            return None
        is_of_use = data["format"] == _FORMAT or not data["without_wheel"]
        files = {name: (sha256, size) for name, (sha256, size) in data["files"].items() if is_of_use}
        return _Record(data["source"], data["commit"], files, data["without_wheel"])

    def _is_there(self, project: str, known: _Record) -> bool:
        return bool(known.files) and all(self._has(project, known.commit, *one) for one in known.files.items())

    def _has(self, project: str, commit: str, name: str, built: tuple[str, int]) -> bool:
        """Say if a file is what was built; what stands in the mirror as it was built is not read again."""
        path, (sha256, size) = self._place(project, commit) / name, built
        try:
            if path.stat().st_size != size:
                return False
        except OSError:
            return False
        mirrored = self._mirror.package_path(project, name)
        return self._mirror.ledger.known(mirrored) == sha256 or sha256_or_none(path) == sha256

    def _build(self, project: str, source: GitSource, before: _Record | None) -> _Record:
        have_folder(self._folder / project)
        for left in (self._folder / project).glob(".build-*"):  # by a run that was killed
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=self._folder / project) as folder:
            clone = Path(folder) / "source"
            commit = Clone(source, clone).check_out(before.commit if before else None)
            if before is None:
                self._tell(project, source, commit)
            made = self._made(project, source, commit, clone, Path(folder) / "made")
            record = _record(source, commit, made)
            self._keep(project, record, Path(folder) / "made")
        return record

    def _tell(self, project: str, source: GitSource, commit: Commit) -> None:
        if not is_commit(source.ref):
            self._note(
                f"{project}: {source.ref or 'HEAD'} is commit {commit.sha}, which is taken from now on; write @{commit.sha} "
                f"to keep it; after `doit clean project:{project}` the next run takes what it is then"
            )

    def _made(self, project: str, source: GitSource, commit: Commit, clone: Path, made: Path) -> Built:
        subject = f"{project} from {source.shown}"
        folder = clone / source.subdirectory
        advice = "Check the name and #subdirectory= of the requirement."
        if not folder.is_dir() or not folder.resolve().is_relative_to(clone.resolve()):
            raise MetadataError(
                "building", subject, f"expected a folder {source.subdirectory} in it, found none", advice
            )
        index = general_index(self._upstream.route.indexes)
        place = self._folder / project / ".build-here"  # the same each time, so that what is compiled there is as well
        built = build(folder, made, place, commit.seconds, From(index.url, index.client_cert), subject)
        try:
            found = [distribution_of(path.name) for path in (built.sdist, built.wheel) if path]
        except ValueError as error:
            raise MetadataError("building", subject, f"what it makes is no release: it {error}", advice) from error
        others = [one for one in found if (one.project, one.version) != (canonicalize_name(project), found[0].version)]
        if others:
            expected = f"expected {project} {found[0].version}"
            problem = (
                f"{expected}, found {' and '.join(dict.fromkeys(f'{one.project} {one.version}' for one in others))}"
            )
            raise MetadataError("building", subject, problem, advice)
        return built

    def _keep(self, project: str, record: _Record, made: Path) -> None:
        """Put what was built in its place, and then write its record; what was built of other commits goes first."""
        place = self._place(project, record.commit)
        for old in self._folder.joinpath(project).iterdir():
            if old.is_dir() and not old.name.startswith(".build-"):
                shutil.rmtree(old)
        made.rename(place)
        content = {
            "format": _FORMAT,
            "source": record.source,
            "commit": record.commit,
            "files": {name: list(known) for name, known in record.files.items()},
            "without_wheel": record.without_wheel,
        }
        write_whole(built_record_path(self._folder, project), sealed(content))


def _record(source: GitSource, commit: Commit, built: Built) -> _Record:
    files = {}
    for path in filter(None, (built.sdist, built.wheel)):
        with path.open("rb") as stream:
            files[path.name] = (sha256_of(stream), path.stat().st_size)
    return _Record(source.shown, commit.sha, files, built.without_wheel)
