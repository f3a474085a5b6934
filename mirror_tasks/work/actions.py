"""What the tasks do: fetch a page, read metadata, download, publish. Each looks first and does nothing that is done.

Nothing here knows the graph of tasks or doit; each action can be called by itself.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from packaging.utils import canonicalize_name

from mirror_tasks.archives.build_backend import ask_backend, is_known
from mirror_tasks.archives.core_metadata import CoreMetadata, Unusable
from mirror_tasks.config.mirror_yaml import Config
from mirror_tasks.errors import IntegrityError, MetadataError, PageError, ResolutionError, UpstreamError
from mirror_tasks.files import (
    Ledger,
    fields_of,
    have_folder,
    holds,
    is_device,
    read_or_none,
    replacing,
    sha256_of_bytes,
    to_json,
    write_if_changed,
    write_whole,
)
from mirror_tasks.index.client import Upstream, base_of
from mirror_tasks.index.pages import File, Fingerprint, Project, is_wheel
from mirror_tasks.index.transfers import part_of
from mirror_tasks.layout import beside, manifest_paths, package_path, withdraw
from mirror_tasks.publish.pages import Site, publish, publish_project, publish_root
from mirror_tasks.publish.people.pages import assets, project_path, with_packed
from mirror_tasks.publish.simple_index import PublishedFile, root_pages
from mirror_tasks.resolve.plan import Plan, PlannedFile, PlannedRelease
from mirror_tasks.room import check_room, same_device
from mirror_tasks.state.records import MetadataRecord, Records
from mirror_tasks.succession import check_output, description
from mirror_tasks.tasks.progress import Tally
from mirror_tasks.work.ahead import Ahead
from mirror_tasks.work.fetching import (
    Wheel,
    fetch,
    fetch_page,
    fetch_wheel,
    read_remote_wheel,
    read_sdist,
    read_sidecar,
    read_wheel,
)
from mirror_tasks.work.processes import READING, RECEIVING

_AHEAD = 4  # files that are fetched at a time before their turn
_LARGE = 32 << 20  # bytes; a wheel of so many has its metadata read by ranges before it is fetched


class Actions:
    """The actions of one mirror.

    :param upstream: where pages and files come from; opened when first asked, so that a look at the state needs none.
    :param tally: counts what was done, for the display.
    """

    def __init__(self, config: Config, upstream: Upstream, tally: Tally) -> None:
        self.config = config
        self.tally = tally
        self.records = Records(config.state)
        self.ledger = Ledger(config.state / "hashes.jsonl", config.output)
        self._upstream = upstream
        self._lock = threading.Lock()
        # What is computed gains nothing from a second thread, and loses a third of its time to the changes between them.
        self._computing = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self.checks_room = True
        self._ahead = Ahead(self._hold_if_missing, _AHEAD)
        self._demanding = {base_of(index.url) for index in config.indexes or () if index.hashes_required}
        self._without_sidecars: set[str] = set()
        self._said: dict[Path, str] = {}  # the hash of the METADATA of wheels that were read in this run, by path
        self._site: tuple[Plan, Site] | None = None

    def fetch_page(self, name: str) -> Project | None:
        """Return the project, asking upstream if its page changed; None says that the index has no such project.

        :raises UpstreamError: the page can't be had, or the project vanished since the last run.
        :raises PageError: the page can't be read.
        """
        if is_device(name):
            reason = "Windows can have no folder of this name, so no mirror has the project"
            return Project(name, "", {}, [(name, reason)])
        if self.records.page_age(name) < self.config.refresh and (known := self.project(name)):
            return known
        if not RECEIVING.call(fetch_page, self._upstream.way, name, self.config.state):
            return None
        with self._computing:
            project = self.project(name)
        if project is None:
            path = self.records.page_path(name)
            problem = "expected what was just written there, found something else"
            raise PageError("reading", str(path), problem, "Check the disk, then run again.")
        return project

    def project(self, name: str) -> Project | None:
        """Return a project as its page was last seen, with what is known of files without hashes; None if it never was."""
        project = self.records.project(name)
        if project is None or not project.unhashed:
            return project
        if project.index in self._demanding:
            return project.without_unhashed(
                f"{project.url} gives no sha256 for it, and this index has hashes: required"
            )
        return project if self._accepts_changes(name) else project.with_fingerprints(self.fingerprints)

    @cached_property
    def fingerprints(self) -> dict[str, Fingerprint]:
        """What was found of files for which their pages give no sha256, by file name; files fetched in this run join it."""
        return self.records.known_fingerprints()

    def _accepts_changes(self, project: str) -> bool:
        return canonicalize_name(project) in self.config.accept_changed

    def identified(self, project: str, file: File) -> File:
        """Return a file with its sha256: where the page gives none, it is fetched, and what is found is remembered.

        :raises UpstreamError: it can't be had.
        :raises IntegrityError: it is not what the page announces, or not what was found when it was first fetched.
        """
        if "sha256" in file.hashes:
            return file
        with self._alone_with(file.filename):
            path = self.records.held_path(file.filename)
            sha256 = RECEIVING.call(fetch, self._upstream.way, file, path, progress=self.tally.received)
            known = self.fingerprints.get(file.filename)
            if known and known.sha256 != sha256 and not self._accepts_changes(project):
                path.unlink()
                raise _changed(file.url, project, known.sha256, sha256)
            self.ledger.seal(path, sha256)
            found = Fingerprint(sha256, path.stat().st_size, file.hashes)
            with self._computing:
                self.records.keep_fingerprint(file.filename, found)
                self.fingerprints[file.filename] = found
        # It is there, so that its own METADATA is read and no sidecar.
        return replace(found.put_to(file), core_metadata=None)

    def read_metadata(self, project: str, file: File, *, is_likely: bool = False) -> CoreMetadata | Unusable:
        """Return the core metadata of a file, from its record or from upstream; what breaks a rule is unusable, with the reason.

        :param is_likely: unless its metadata breaks a rule, the file will be mirrored in this run, and is then
            fetched whole at once, if it is not large.
        :raises UpstreamError: it can't be had.
        :raises IntegrityError: what arrived is not what the index announced.
        """
        sha256 = file.hashes["sha256"]
        record = self.records.metadata(file.filename, sha256)
        if record is None or self._has_to_ask(file, record):
            record = self._read_record(project, file, whole=is_likely and (file.size or _LARGE) < _LARGE)
            with self._computing:
                self.records.keep_metadata(file.filename, record)
        return record.metadata

    def _read_record(self, project: str, file: File, *, whole: bool) -> MetadataRecord:
        if is_wheel(file.filename) and file.core_metadata is not None and (read := self._read_sidecar(file)):
            return _record_of(file, read)  # nobody has to wait for the wheel
        with self._alone_with(file.filename):
            there = self._local(project, file)
            if is_wheel(file.filename):
                return _record_of(file, self._read_wheel(file, there, whole=whole))
            return self._sdist_record(project, file, there)

    def _read_wheel(self, file: File, there: Path | None, *, whole: bool) -> Wheel:
        if there is not None:
            return self._read_local(there)
        if whole:
            return self._fetch_wheel(file, self.records.held_path(file.filename))
        return self._read_remote(file)

    def _read_sidecar(self, file: File) -> Wheel | None:
        """Return what an announced sidecar says; None where it is not what was announced: the wheel itself decides then."""
        try:
            read = RECEIVING.call(read_sidecar, self._upstream.way, file)
        except (UpstreamError, IntegrityError) as error:
            problem = error.problem
        else:
            if isinstance(read.metadata, CoreMetadata):
                return read
            problem = read.metadata.reason
        host = urlsplit(file.url).netloc
        if host not in self._without_sidecars:  # where one is missing many are: one line for all
            self._without_sidecars.add(host)
            self.tally.note(
                f"core metadata that the index announces at {host} is not there as announced, so it is read from the "
                f"wheels themselves; the first: {file.filename}.metadata: {problem}"
            )
        return None

    def _read_remote(self, file: File) -> Wheel:
        keep = self.records.held_path(file.filename)
        return RECEIVING.call(read_remote_wheel, self._upstream.way, file, keep)

    def _read_local(self, path: Path) -> Wheel:
        return self._sealed(path, READING.call(read_wheel, path, self.config.output))

    def _sealed(self, path: Path, read: Wheel) -> Wheel:
        """Remember that what stands beside a wheel was read from it."""
        if read.metadata_sha256 is not None:
            self.ledger.seal(beside(path), read.metadata_sha256)
            self._said[path] = read.metadata_sha256
        return read

    def _sdist_record(self, project: str, file: File, there: Path | None) -> MetadataRecord:
        """Only the whole of an sdist tells; it is kept, so that its download does not fetch it again."""
        path = there or self._hold(project, file)
        metadata = READING.call(read_sdist, path)
        if isinstance(metadata, CoreMetadata):
            metadata = self._with_what_it_asks(path, metadata)
        return MetadataRecord(file.hashes["sha256"], metadata, None, self.config.ask_backends)

    def _hold(self, project: str, file: File) -> Path:
        """Fetch a file before it has its place in the mirror."""
        path = self.records.held_path(file.filename)
        if self.checks_room:
            check_room([(path.parent, _to_come(path, file))], "fetching a file into")
        self._fetch(project, file, path)
        return path

    def _fetch(self, project: str, file: File, path: Path) -> None:
        known = self.fingerprints.get(file.filename)
        if known is None or known.sha256 != file.hashes["sha256"]:
            self._fetch_known(file, path)
            return
        try:
            self._fetch_known(replace(file, size=None), path)  # the hash tells, and both hashes are to be said
        except IntegrityError as error:
            raise _no_longer(project, error) from error

    def _fetch_known(self, file: File, path: Path) -> None:
        if is_wheel(file.filename):
            self._fetch_wheel(file, path)
        else:
            RECEIVING.call(fetch, self._upstream.way, file, path, progress=self.tally.received)
            self.ledger.seal(path, file.hashes["sha256"])

    def _fetch_wheel(self, file: File, path: Path) -> Wheel:
        way, output = self._upstream.way, self.config.output
        read = RECEIVING.call(fetch_wheel, way, file, path, output, progress=self.tally.received)
        self.ledger.seal(path, file.hashes["sha256"])
        return self._sealed(path, read)

    def _local(self, project: str, file: File) -> Path | None:
        """Return where a file is already, whole: in the mirror, or held for it."""
        places = (self.package_path(project, file.filename), self.records.held_path(file.filename))
        sha256 = file.hashes["sha256"]
        return next((path for path in places if self._is_right(path, sha256, file.size)), None)

    @contextmanager
    def _alone_with(self, filename: str) -> Iterator[None]:
        """A file has one writer at a time: it may be fetched ahead, to be read, and for its place in the mirror."""
        with self._lock:
            lock = self._locks.setdefault(filename, threading.Lock())
        with lock:
            yield

    def _has_to_ask(self, file: File, record: MetadataRecord) -> bool:
        return self.config.ask_backends and not record.asked and not is_wheel(file.filename)

    def _with_what_it_asks(self, path: Path, metadata: CoreMetadata) -> CoreMetadata:
        """Add what the backend asks for when it is run, where the user wants it run; where that fails, say so."""
        if not self.config.ask_backends or is_known(metadata):
            return metadata
        try:
            asked = ask_backend(path, metadata, self._upstream.way.indexes[0].url)
        except MetadataError as error:
            self.tally.note(str(error))
            return replace(metadata, problems=(*metadata.problems, error.problem))
        return replace(metadata, build_requires=tuple(dict.fromkeys((*metadata.build_requires, *asked))))

    def package_path(self, project: str, filename: str) -> Path:
        """Where a file stands in the mirror."""
        return package_path(self.config.output, project, filename)

    def page_path(self, project: str, form: str = "index.html") -> Path:
        """Where a project's page stands in the mirror."""
        return self.config.output / "simple" / project / form

    def download_targets(self, file: PlannedFile) -> list[Path]:
        """Return what a download writes: the file, and a wheel's core metadata beside it."""
        path = self.package_path(file.project, file.filename)
        return [path, beside(path)] if is_wheel(file.filename) else [path]

    def is_downloaded(self, file: PlannedFile) -> bool:
        """Say if a file stands in the mirror and was found right, and nobody touched its core metadata since.

        No content is read, so that it costs next to nothing.
        """
        path = self.package_path(file.project, file.filename)
        return self.ledger.known(path) == file.sha256 and (
            not is_wheel(file.filename) or self.ledger.known(beside(path)) is not None or not _stands(beside(path))
        )

    def check_room(self, due: Iterable[PlannedFile]) -> None:
        """Look if there is room in the output for files that are due; those that were held on its file system are there.

        :raises StorageError: there is not.
        """
        if not self.checks_room:
            return
        needed = 0
        for file in due:
            held, place = self.records.held_path(file.filename), self.package_path(file.project, file.filename)
            if not (held.exists() and same_device(held, self.config.output)):
                needed += min(_to_come(path, file.file) for path in (held, place))
        check_room([(self.config.output, needed)], "making room for what is to be downloaded into")

    def is_held(self, file: PlannedFile) -> bool:
        """Say if a file was fetched already, to be read, and waits in the state folder to take its place."""
        return self.records.held_path(file.filename).exists()

    def fetch_ahead(self, project: str, file: File) -> None:
        """Begin to fetch a file that will be in the plan, so that the network has work while the plan is made.

        An sdist has to be read for the plan where its build requirements belong in it, and comes with that.
        """
        if is_wheel(file.filename) or not self.config.build_requirements:
            self._ahead.begin(file.filename, project, file)

    def _hold_if_missing(self, project: str, file: File) -> None:
        # What a run that was interrupted has of it beside its place in the mirror goes on there, in its turn.
        begun = part_of(self.package_path(project, file.filename), file.hashes["sha256"])
        with self._alone_with(file.filename):
            if not begun.exists() and self._local(project, file) is None:
                self._hold(project, file)

    def download(self, file: PlannedFile) -> None:
        """Bring a file and its core metadata into the mirror, unless they are there.

        :raises UpstreamError: it can't be had.
        :raises IntegrityError: it is not what the index announced.
        """
        self._ahead.cancel(file.filename)
        self._check_unchanged(file)
        with self._alone_with(file.filename):
            self._bring(file, self.package_path(file.project, file.filename))

    def _bring(self, file: PlannedFile, path: Path) -> None:
        self._tell_altered([path, beside(path)])
        there = self._local(file.project, file.file)
        if there is None:
            there = self._where_to_fetch(file, path)
            self._fetch(file.project, file.file, there)
        record = self.records.metadata(file.filename, file.sha256) if is_wheel(file.filename) else None
        said = self._metadata_beside(file, record, there) if is_wheel(file.filename) else None
        self._check_plan(file, record, said, there)
        with self._computing:
            have_folder(path.parent)
            if there != path and _stands(path):
                withdraw(self.config.output)
            if is_wheel(file.filename):
                self._publish_metadata(said, there, path)
            if there != path:
                move(there, path)
            self.ledger.seal(path, file.sha256)

    def _check_unchanged(self, file: PlannedFile) -> None:
        """Look if the index still offers the bytes that are mirrored under a file's name.

        Servers and caches hand files on as immutable: who has a file would keep the old bytes, or distrust the new.

        :raises IntegrityError: it offers others, and ``accept-changed`` does not name the project.
        """
        mirrored = self._mirrored_sha256(self.package_path(file.project, file.filename))
        if mirrored is None or mirrored == file.sha256:
            return
        if file.project not in self.config.accept_changed:
            raise IntegrityError(
                "downloading",
                file.filename,
                f"expected the bytes that are mirrored under this name already (sha256 {mirrored}), "
                f"found that the index now offers others (sha256 {file.sha256})",
                f"Find out why; if the new ones are right, write  accept-changed: [{file.project}]  in mirror.yaml.",
            )
        self.tally.note(f"changed, as accept-changed permits: {file.filename}: {mirrored} is now {file.sha256}")

    def _mirrored_sha256(self, path: Path) -> str | None:
        """Return the hash of what was mirrored at a path; where the state was deleted, what is published tells."""
        return self.ledger.made(path) or self._published_sums.get(self._relative(path))

    @cached_property
    def _published_sums(self) -> Mapping[str, str]:
        """The SHA-256 by path of what is published, whoever published it; nothing where nothing is."""
        content = read_or_none(self.manifest_paths()[1]) or b""
        lines = content.decode("utf-8", "replace").splitlines()
        return {line[66:]: line[:64] for line in lines if re.fullmatch("[0-9a-f]{64}  .+", line)}

    def _where_to_fetch(self, file: PlannedFile, path: Path) -> Path:
        """Return where a file is fetched: at its place, unless it was begun elsewhere, or something stands there.

        What stands there, and what says that the mirror is whole, then stay until all of the new file is there.
        """
        held = self.records.held_path(file.filename)
        return held if _stands(path) or part_of(held, file.sha256).exists() else path

    def _is_right(self, path: Path, sha256: str, size: int | None) -> bool:
        """Say if the file at ``path`` is the right one; it is hashed only if nobody did since it was written."""
        try:
            return (size is None or path.stat().st_size == size) and self.ledger.is_right(path, sha256)
        except OSError:
            return False

    def _metadata_beside(self, file: PlannedFile, record: MetadataRecord | None, there: Path) -> str | None:
        """Have the METADATA of the wheel at ``there`` beside it, read from the wheel itself; return its hash.

        None where it has none that can be told from others, which is remembered.
        """
        # A seal alone says what stands there, not that it is the wheel's.
        from_the_wheel = {self._said.get(there), record and record.metadata_sha256}
        if (known := self.ledger.known(beside(there))) and known in from_the_wheel:
            return known
        read = self._read_local(there)
        if read.metadata_sha256 is None:
            self.records.keep_metadata(file.filename, MetadataRecord(file.sha256, read.metadata, None))
        return read.metadata_sha256

    def _check_plan(self, file: PlannedFile, record: MetadataRecord | None, said: str | None, there: Path) -> None:
        """Look if the plan was made from what the wheel at ``there`` says; if not, the next plan will be.

        :param record: what the plan was made from.
        :param said: the hash of what the wheel says.
        :raises IntegrityError: it was not.
        """
        if record is None or record.metadata_sha256 in (None, said):
            return
        found = _record_of(file.file, self._read_local(there))
        self.records.keep_metadata(file.filename, found)
        raise IntegrityError(
            "publishing",
            file.filename,
            "expected the core metadata that the index served for it, found "
            + (
                f"that {found.metadata.reason}"
                if isinstance(found.metadata, Unusable)
                else "other metadata in the wheel"
            ),
            "The plan was made from wrong metadata: run again, and it will be made from what the wheel says.",
        )

    def _publish_metadata(self, said: str | None, there: Path, path: Path) -> None:
        """Bring ``<filename>.metadata`` to its place.

        A wheel whose METADATA breaks a rule is published without: its clients read it themselves.

        :param said: the hash of what the wheel says.
        :param there: where the wheel is; ``path`` is its place.
        """
        if said is None:
            if _stands(beside(path)):
                withdraw(self.config.output)
                beside(path).unlink()
            return
        if there != path:
            if _stands(beside(path)):
                withdraw(self.config.output)
            move(beside(there), beside(path))
            self.ledger.seal(beside(path), said)

    def keep_release(self, release: PlannedRelease, record: bytes) -> None:
        """Write the record of a release: which of its files are wanted, for which environments, required by whom.

        :param record: as :func:`release_record` makes it.
        """
        with self._computing:
            write_if_changed(self.records.release_path(release.name), record, durable=False)

    def keep_plan(self, plan: Plan) -> None:
        """Write ``plan.json``."""
        write_if_changed(self.records.plan, plan.content)

    def known_plan(self) -> Plan | None:
        """Return the plan of the last run, or None."""
        return _plan_in(self.records.plan)

    def published_plan(self) -> Plan | None:
        """Return the plan that the mirror was last made whole by, or None."""
        return _plan_in(self.records.published)

    def check_output(self) -> None:
        """Look if the mirror can be made where it is to be made, and by this configuration.

        :raises OutputError: it can't.
        """
        summary, _ = self.manifest_paths()
        check_output(self.config, self.records.manifests() | {str(self.ledger.made(summary))})

    def publish_project(self, plan: Plan, name: str) -> None:
        """Write the pages of a project whose files all stand in the mirror."""
        published = [self._published(file) for file in plan.by_project[name]]
        self._tell_altered(self.project_targets(name))
        self.ledger.seal_all(RECEIVING.call(publish_project, self._site_of(plan), name, published))

    def _published(self, file: PlannedFile) -> PublishedFile:
        path = self.package_path(file.project, file.filename)
        has_metadata = is_wheel(file.filename) and _stands(beside(path))
        return PublishedFile(file, path.stat().st_size, self._made(beside(path)) if has_metadata else None)

    def _tell_altered(self, paths: Iterable[Path]) -> None:
        """Tell of published files that were altered since they were made, or replaced by links; they are made anew."""
        altered = [self._relative(path) for path in paths if _stands(path) and self._is_altered(path)]
        if altered:
            self.tally.note(f"repaired, since it was altered after it was made: {', '.join(altered)}")

    def _is_altered(self, path: Path) -> bool:
        made = self.ledger.made(path)
        return made is not None and not self.ledger.is_right(path, made)

    def _made(self, path: Path) -> str:
        """Return the hash that a published file was made with.

        What is found is never taken for what was made: it would be published as right from then on.

        :raises IntegrityError: something else stands there.
        """
        made = self.ledger.made(path)
        if made and self.ledger.is_right(path, made):
            return made
        withdraw(self.config.output)
        problem = f"expected what was made there in this run (sha256 {made}), found something else"
        raise IntegrityError(
            "finishing", str(path), problem, "Run again: it is made anew. Let nothing else write there."
        )

    def publish_root(self, plan: Plan) -> None:
        """Write the page that lists the projects, for clients and for people."""
        self._tell_altered(self.root_targets())
        self.ledger.seal_all(RECEIVING.call(publish_root, self._site_of(plan)))

    def _site_of(self, plan: Plan) -> Site:
        if self._site is None or self._site[0] is not plan:
            roots = tuple(root.name for root in self.config.roots)
            site = Site(self.config.state, self.config.output, roots, sha256_of_bytes(plan.content))
            self._site = (plan, site)
        return self._site[1]

    def root_targets(self) -> list[Path]:
        """Return what :meth:`publish_root` writes."""
        names = with_packed(dict.fromkeys(("index.html", *assets()), b""))
        simple = self.config.output / "simple"
        return [*(simple / form for form in root_pages(())), *(self.config.output / name for name in names)]

    def project_targets(self, name: str) -> list[Path]:
        """Return what :meth:`publish_project` writes."""
        page = project_path(name)
        forms = [self.page_path(name, form) for form in root_pages(())]
        return [*forms, *(self.config.output / path for path in with_packed({page: b""}))]

    def publish_server(self) -> None:
        """Put ``server.py`` into the mirror."""
        content = {"server.py": server_template().read_bytes()}
        self._tell_altered([self.config.output / "server.py"])
        self.ledger.seal_all(publish(self.config.output, self.config.output, content))

    def server_is_published(self) -> bool:
        """Say if the mirror has this version's ``server.py``, and it is known that it was put there."""
        path = self.config.output / "server.py"
        made, template = self.ledger.known(path), server_template().read_bytes()
        return made == sha256_of_bytes(template) and holds(path, template)

    def as_made(self, paths: Iterable[Path]) -> str | None:
        """Return a digest of published files as they were made, or None if one of them is not as it was made any more.

        No content is read, so that it costs next to nothing.
        """
        known = [self.ledger.known(path) for path in paths]
        return None if None in known else sha256_of_bytes(" ".join(map(str, known)).encode())

    def manifest_paths(self) -> tuple[Path, Path]:
        """Where ``mirror.json`` and ``SHA256SUMS`` stand."""
        return manifest_paths(self.config.output)

    def write_manifest(self, plan: Plan) -> None:
        """Write ``mirror.json`` and ``SHA256SUMS``, last of all: a directory that has them is whole."""
        self._check_folders(plan)
        summary, sums = self.manifest_paths()
        made = {path: self._made(path) for path in self._published_paths(plan)}
        about = to_json(self._summary(plan))
        made[summary] = sha256_of_bytes(about)
        self.records.keep_manifest(made[summary])
        lines = sorted((self._relative(path), sha256) for path, sha256 in made.items())
        content = "".join(f"{sha256}  {path}\n" for path, sha256 in lines).encode()
        write_if_changed(self.records.published, plan.content)
        if holds(sums, content) and holds(summary, about):
            self.ledger.seal_all({summary: made[summary], sums: sha256_of_bytes(content)})
            return
        withdraw(self.config.output)
        self._sweep()
        write_whole(summary, about)
        write_whole(sums, content)
        self.ledger.seal_all({summary: made[summary], sums: sha256_of_bytes(content)})

    def _check_folders(self, plan: Plan) -> None:
        """Look if all that is published lies in the output itself: ``server.py`` follows no link that leads out of it.

        :raises IntegrityError: a folder is a link.
        """
        folders = {path.parent for path in self._published_paths(plan)}
        folders |= {folder.parent for folder in folders}
        for folder in sorted(folders - {self.config.output, self.config.output.parent}):
            if folder.is_symlink():
                withdraw(self.config.output)
                raise IntegrityError(
                    "finishing",
                    str(folder),
                    f"expected a folder, found a link to {folder.readlink()}, which the mirror's server does not follow",
                    "Put the folder itself in its place (a bind mount may be one), then run again.",
                )

    def _sweep(self) -> None:
        """Delete what a killed run left half-written; all that is wanted is there when this is called."""
        for path in [*self.config.output.rglob(".*.part"), *self.config.output.rglob(".*.part.etag")]:
            path.unlink(missing_ok=True)

    def _relative(self, path: Path) -> str:
        return str(path)[len(str(self.config.output)) + 1 :].replace(os.sep, "/")

    def _published_paths(self, plan: Plan) -> Iterable[Path]:
        yield self.config.output / "server.py"
        yield from self.root_targets()
        for name in plan.by_project:
            yield from self.project_targets(name)
        for file in plan.files:
            path = self.package_path(file.project, file.filename)
            yield path
            if is_wheel(file.filename) and _stands(beside(path)):
                yield beside(path)

    def _summary(self, plan: Plan) -> Mapping[str, object]:
        """What the mirror holds; no clock: the newest upload says how old it is."""
        paths = [self.package_path(file.project, file.filename) for file in plan.files]
        return {
            "format": 1,
            **description(self.config),
            "lacking": plan.lacking,
            "environments": [one["name"] for one in plan.environments],
            "requirements": [root.name for root in self.config.roots],
            "projects": len(plan.by_project),
            "releases": len(plan.releases),
            "files": len(plan.files),
            "bytes": sum(path.stat().st_size for path in paths),
            "newest_upload": max((time for file in plan.files if (time := file.file.upload_time)), default=None),
        }

    def manifest(self) -> Mapping[str, str]:
        """Return the SHA-256 of each published file by its path with slashes, as ``SHA256SUMS`` was written.

        :raises ResolutionError: the mirror is not whole, or ``SHA256SUMS`` is not what this configuration wrote.
        """
        _, sums = self.manifest_paths()
        advice = "Run `doit mirror` first."
        for path in self.manifest_paths():
            if not _stands(path):
                problem = f"expected a whole mirror, found no {path.name}"
                raise ResolutionError("pruning", str(self.config.output), problem, advice)
            if self.ledger.known(path) is None:
                problem = "expected what the last run of this configuration wrote there, found something else"
                raise ResolutionError("pruning", str(path), problem, advice)
        return {line[66:]: line[:64] for line in sums.read_text(encoding="utf-8").splitlines()}

    def leftovers(self, manifest: Iterable[str], plans: Sequence[Plan]) -> list[Path]:
        """Return what ``prune`` deletes, sorted: files in the output that are not published, and records of no use.

        :param manifest: the paths that are published.
        :param plans: the one that was published and the newest: what these name is kept, for it may be published next.
        """
        wanted = {*manifest, *(path.name for path in self.manifest_paths())}
        wanted |= {self._relative(path) for plan in plans for path in self._planned_paths(plan)}
        output = (
            path
            for folder in ("packages", "project", "simple", "site")
            for path in (self.config.output / folder).rglob("*")
            if path.is_symlink() or not path.is_dir()
        )
        return sorted([*(path for path in output if self._relative(path) not in wanted), *self._old_records(plans)])

    def _planned_paths(self, plan: Plan) -> Iterable[Path]:
        for file in plan.files:
            yield from self.download_targets(file)

    def _old_records(self, plans: Sequence[Plan]) -> Iterable[Path]:
        releases = {self.records.release_path(release.name) for plan in plans for release in plan.releases}
        yield from (path for path in (self.config.state / "releases").glob("*.json") if path not in releases)
        for path in (self.config.state / "held").glob("*"):
            if not any(path.name.removesuffix(".metadata") in plan.by_filename for plan in plans):
                yield path

    def delete(self, paths: Iterable[Path]) -> None:
        """Delete files, and folders that are empty then."""
        for path in paths:
            path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder in (self.config.output, self.config.state) or any(folder.iterdir()):
                    break
                folder.rmdir()


def _plan_in(path: Path) -> Plan | None:
    content = read_or_none(path)
    if content is None:
        return None
    try:
        return Plan.from_bytes(content)
    except (ValueError, KeyError, TypeError):
        return None


def _stands(path: Path) -> bool:
    """Say if there is anything at ``path``: a file, or a link to whatever."""
    return os.path.lexists(path)


def _record_of(file: File, read: Wheel) -> MetadataRecord:
    """Return what is kept of a wheel; the hash of METADATA that can't be used is of no use."""
    sha256 = None if isinstance(read.metadata, Unusable) else read.metadata_sha256
    return MetadataRecord(file.hashes["sha256"], read.metadata, sha256)


_ACCEPT = (
    "If that is right, write accept-changed: [{}] in mirror.yaml for one run; else report it to whoever runs the index."
)


def _changed(url: str, project: str, known: str, found: str) -> IntegrityError:
    """Return the error for a file without an announced hash whose content is another than when it was first fetched."""
    problem = f"expected sha256 {known}, as when it was first fetched, found {found}"
    return IntegrityError("checking the hash of", url, problem, _ACCEPT.format(project))


def _no_longer(project: str, error: IntegrityError) -> IntegrityError:
    """Return the error likewise, where the hash that was found then is what the bytes were compared with."""
    problem = f"{error.problem}; what was expected is what it was when it was first fetched"
    return IntegrityError(error.doing, error.subject, problem, _ACCEPT.format(project))


def release_record(plan: Plan, release: PlannedRelease) -> bytes:
    """Return the record of a release as it is kept on disk."""
    files = plan.by_release.get((release.project, release.version), ())
    return to_json({**fields_of(release), "files": files})


def _to_come(path: Path, file: File) -> int:
    """Return how many bytes of a file that is to stand at ``path`` are not there yet; none where its size is not known."""
    try:
        begun = part_of(path, file.hashes.get("sha256", "")).stat().st_size
    except OSError:
        begun = 0
    return max(0, (file.size or 0) - begun)


def move(source: Path, target: Path) -> None:
    """Move a file; across file systems it is copied to a temporary name first, so that it appears whole."""
    try:
        os.replace(source, target)
    except OSError:
        with source.open("rb") as stream, replacing(target) as copy:
            shutil.copyfileobj(stream, copy)
        source.unlink()


def server_template() -> Path:
    """Return the path of the single-file server: inside the package if it was installed, beside it in a checkout."""
    here = Path(__file__).resolve().parent.parent
    inside = here / "server_template" / "server.py"
    return inside if inside.exists() else here.parent / "server_template" / "server.py"
