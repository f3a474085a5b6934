"""What is planned takes its place in the mirror: found or fetched, compared with the plan, moved to its name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from mirror_tasks.archives.core_metadata import Unusable
from mirror_tasks.config.own_sources import names_of
from mirror_tasks.errors import IntegrityError, StorageError
from mirror_tasks.files import have_folder, replacing, sha256_or_none
from mirror_tasks.index.file_names import is_wheel
from mirror_tasks.index.project import File
from mirror_tasks.index.transfers import part_of
from mirror_tasks.layout import metadata_path, metadata_place, package_place, withdraw
from mirror_tasks.resolve.plan import PlannedFile
from mirror_tasks.room import check_room, same_device
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.state.records import MetadataRecord
from mirror_tasks.work.ahead import Ahead
from mirror_tasks.work.files import Files, bytes_to_come

_AHEAD = 4  # files that are fetched at a time before their turn
_BUILT_ANEW = "If it was built anew, give it a new version: clients and locks that know this one refuse other bytes. If"


class Downloads:
    """The downloads of one mirror."""

    def __init__(self, mirror: Mirror, files: Files) -> None:
        self._mirror = mirror
        self._files = files
        self._ahead = Ahead(self._hold_if_missing, _AHEAD)

    def _place(self, file: PlannedFile) -> Path:
        return self._mirror.package_path(file.project, file.filename)

    def is_done(self, file: PlannedFile) -> bool:
        """Say if a file stands in the mirror and was found right, and nobody touched its core metadata since.

        No content is read, so that it costs next to nothing.
        """
        path, known = package_place(self._mirror.output, file.project, file.filename), self._mirror.ledger.known
        if known(path) != file.sha256:
            return False
        metadata = metadata_place(path)
        made = known(metadata)
        if self._was_judged_by_another(file, made):
            return False
        return not is_wheel(file.filename) or made is not None or not os.path.lexists(metadata)

    def _was_judged_by_another(self, file: PlannedFile, made: str | None) -> bool:
        """Say if the policy judged a wheel by metadata that its page announced, which is not what the wheel has.

        :param made: the SHA-256 of the METADATA beside it.
        """
        if made is None or self._announced(file) in (None, made):
            return False
        return self._planned_from(file) not in (None, made)

    def _planned_from(self, file: PlannedFile) -> str | None:
        """Return the SHA-256 of the METADATA that a plan was made from; None where it was made from none."""
        record = self._mirror.records.metadata(file.filename, file.sha256)
        return record.metadata_sha256 if record else self._announced(file)

    def _announced(self, file: PlannedFile) -> str | None:
        """Return the SHA-256 of the METADATA that a page announces; None where the policy does not judge by metadata."""
        policy = self._mirror.config.policy
        return (file.file.core_metadata or {}).get("sha256") if policy and policy.licences else None

    def is_held(self, file: PlannedFile) -> bool:
        """Say if a file was fetched already, to be read, and waits in the state folder to take its place."""
        return self._files.held_path(file.filename).exists()

    def is_in_place(self, file: PlannedFile) -> bool:
        """Say if a file of the right size stands in the mirror, so that all there is to do may be to hash it again."""
        path = self._place(file)
        try:
            has_size = path.stat().st_size == file.file.size
        except OSError:
            return False
        return has_size and self._mirror.ledger.known(path) in (None, file.sha256)

    def check_room(self, due: Iterable[PlannedFile]) -> None:
        """Look if there is room in the output for files that are due; those that were held on its file system, or stand
        in their place, are there.

        What stands there and was touched is hashed only where there is no room for it to be wrong.

        :raises StorageError: there is not.
        """
        if not self._files.checks_room:
            return
        lacking = [file for file in due if not self._is_held_near(file)]
        try:
            self._check_room(lacking)
        except StorageError:
            self._check_room([file for file in lacking if not (self.is_in_place(file) and self._is_right(file))])

    def _check_room(self, files: Iterable[PlannedFile]) -> None:
        check_room(
            [(self._mirror.output, sum(map(self._to_come, files)))], "making room for what is to be downloaded into"
        )

    def _is_held_near(self, file: PlannedFile) -> bool:
        """Say if a file is held where it takes no more room when it is moved to its place."""
        held = self._files.held_path(file.filename)
        return held.exists() and same_device(held, self._mirror.output)

    def _to_come(self, file: PlannedFile) -> int:
        paths = (self._files.held_path(file.filename), self._place(file))
        return min(bytes_to_come(path, file.file) for path in paths)

    def _is_right(self, file: PlannedFile) -> bool:
        return self._mirror.ledger.is_right(self._place(file), file.sha256)

    def fetch_ahead(self, project: str, file: File) -> None:
        """Begin to fetch a file that will be in the plan, so that the network has work while the plan is made.

        An sdist has to be read for the plan where its build requirements belong in it, and comes with that.
        """
        # Most of what was made stands there still; what does not is fetched in its turn.
        place = package_place(self._mirror.output, project, file.filename)
        if self._mirror.ledger.made(place) == file.hashes.get("sha256", ""):
            return
        if is_wheel(file.filename) or not self._mirror.config.build_requirements:
            self._ahead.begin(file.filename, project, file)

    def _hold_if_missing(self, project: str, file: File) -> None:
        # What a run that was interrupted has of it beside its place in the mirror goes on there, in its turn.
        begun = part_of(self._mirror.package_path(project, file.filename), file.hashes["sha256"])
        with self._files.writing(file.filename):
            if not begun.exists() and self._files.find(project, file) is None:
                self._files.hold(project, file)

    def download(self, file: PlannedFile) -> None:
        """Bring a file and its core metadata into the mirror, unless they are there.

        :raises UpstreamError: it can't be had.
        :raises IntegrityError: it is not what the index announced, or not what the plan was made from.
        """
        path = self._place(file)
        self._ahead.cancel(file.filename)
        self._check_unchanged(file)
        with self._files.writing(file.filename):
            self._mirror.note_altered([path, metadata_path(path)])
            was_mirrored = os.path.lexists(path)
            source = self._files.find(file.project, file.file) or self._fetch(file)
            metadata_sha256 = self._planned_metadata(file, source) if is_wheel(file.filename) else None
            if is_wheel(file.filename) and metadata_sha256 is None:
                raise self._refused(file, source, was_mirrored=was_mirrored)
            self._put_in_place(file, source, metadata_sha256)

    def _check_unchanged(self, file: PlannedFile) -> None:
        """Look if the index still offers the bytes that are mirrored under a file's name.

        Servers and caches hand files on as immutable: who has a file would keep the old bytes, or distrust the new.

        :raises IntegrityError: it offers others, and ``accept-changed`` does not name the project.
        """
        path = self._place(file)
        # Where the state was deleted, what is published tells.
        mirrored = self._mirror.ledger.made(path) or self._published.get(self._mirror.relative(path))
        if mirrored is None or mirrored == file.sha256 or self._is_misremembered(file, path):
            return
        if file.project not in self._mirror.config.accept_changed:
            is_own = file.project in names_of(self._mirror.config.own)
            advice = _BUILT_ANEW if is_own else "Find out why; if"
            raise IntegrityError(
                "downloading",
                file.filename,
                f"expected the bytes that are mirrored under this name already (sha256 {mirrored}), "
                f"found that {'your own file has' if is_own else 'the index now offers'} others (sha256 {file.sha256})",
                f"{advice} the new ones are right, write  accept-changed: [{file.project}]  in mirror.yaml.",
            )
        self._mirror.note(f"changed, as accept-changed permits: {file.filename}: {mirrored} is now {file.sha256}")

    def _is_misremembered(self, file: PlannedFile, path: Path) -> bool:
        """Say if a file is what is published, and only its line in the ledger is another: a fault of the disk; mend that."""
        is_published = self._published.get(self._mirror.relative(path)) == file.sha256
        if not is_published or sha256_or_none(path) != file.sha256:
            return False
        self._mirror.ledger.seal(path, file.sha256)
        return True

    @cached_property
    def _published(self) -> Mapping[str, str]:
        """The SHA-256 by path of what was published when it was first asked for, whoever published it."""
        return self._mirror.published_sums()

    def _fetch(self, file: PlannedFile) -> Path:
        """Fetch a file: to its place, unless it was begun elsewhere, or something stands there; return where it is.

        What stands there, and what says that the mirror is whole, then stay until all of the new file is there.
        """
        place, held = self._place(file), self._files.held_path(file.filename)
        path = held if os.path.lexists(place) or part_of(held, file.sha256).exists() else place
        self._files.fetch(file.project, file.file, path)
        return path

    def _planned_metadata(self, file: PlannedFile, wheel: Path) -> str | None:
        """Have the METADATA of a wheel beside it, read from the wheel itself; return its SHA-256.

        None where it has none that can be told from others.

        :raises IntegrityError: the plan was made from other metadata.
        """
        planned = self._planned_from(file)
        sha256 = self._have_metadata(file, wheel, planned)
        if planned not in (None, sha256):
            raise self._wrongly_planned(file, wheel)
        return sha256

    def _have_metadata(self, file: PlannedFile, wheel: Path, planned: str | None) -> str | None:
        # The ledger alone says what stands there, not that it is the wheel's.
        from_the_wheel = {self._files.metadata_read_from(wheel), planned}
        if (known := self._mirror.ledger.known(metadata_path(wheel))) and known in from_the_wheel:
            return known
        read = self._files.read_wheel(wheel)
        if read.metadata_sha256 is None:
            self._keep_found(file, MetadataRecord(file.sha256, read.metadata, None))
        return read.metadata_sha256

    def _keep_found(self, file: PlannedFile, record: MetadataRecord) -> None:
        """Keep what a wheel says for the next plan, which hangs on it, whatever else that one reads."""
        self._mirror.records.keep_metadata(file.filename, replace(record, is_found=True))

    def _wrongly_planned(self, file: PlannedFile, wheel: Path) -> IntegrityError:
        """Return the error for a plan that was made from other metadata than a wheel has, and keep what the wheel says."""
        record = self._files.read_wheel(wheel).record(file.sha256)
        self._keep_found(file, record)
        found = "other metadata in the wheel"
        if isinstance(record.metadata, Unusable):
            found = f"that {record.metadata.reason}"
        return IntegrityError(
            "publishing",
            file.filename,
            f"expected the core metadata that the index served for it, found {found}",
            "The plan was made from wrong metadata: run again, and it will be made from what the wheel says.",
        )

    def _refused(self, file: PlannedFile, wheel: Path, *, was_mirrored: bool) -> IntegrityError:
        """Return the error for a wheel that is damaged, or another one to another reader; the next plan is without it.

        What was mirrored under an earlier plan stays: it is for `prune` to delete what is published no more.
        """
        record = self._mirror.records.metadata(file.filename, file.sha256)
        reason = record.metadata.reason if record and isinstance(record.metadata, Unusable) else "no METADATA"
        if not was_mirrored:
            wheel.unlink()
        return IntegrityError(
            "publishing",
            file.filename,
            f"expected a wheel that every installer reads alike, found {reason}",
            "It is not published. Run again: the plan then leaves this file out, and tells why.",
        )

    def _put_in_place(self, file: PlannedFile, source: Path, metadata_sha256: str | None) -> None:
        """Move a file to its place, its core metadata first, and enter both in the ledger."""
        path = self._place(file)
        if source != path and os.path.lexists(path):
            withdraw(self._mirror.output)
        if metadata_sha256 is not None:
            self._put_metadata_in_place(source, path, metadata_sha256)
        if source != path:
            move(source, path)
        self._mirror.ledger.seal(path, file.sha256)

    def _put_metadata_in_place(self, source: Path, path: Path, sha256: str) -> None:
        """Move a wheel's METADATA to its place beside the wheel's."""
        place = metadata_path(path)
        if source == path:
            return
        if os.path.lexists(place):
            withdraw(self._mirror.output)
        move(metadata_path(source), place)
        self._mirror.ledger.seal(place, sha256)


def move(source: Path, target: Path) -> None:
    """Move a file; across file systems it is copied to a temporary name first, so that it appears whole."""
    have_folder(target.parent)
    try:
        os.replace(source, target)
    except OSError:
        with source.open("rb") as stream, replacing(target) as copy:
            shutil.copyfileobj(stream, copy)
        source.unlink()
