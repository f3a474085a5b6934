"""What a finished mirror directory says, read as its clients read it."""

from __future__ import annotations

from pathlib import Path
from urllib.request import url2pathname

from packaging.utils import NormalizedName

from mirror_tasks.archives.core_metadata import CoreMetadata, Unusable, read_metadata, reason_of
from mirror_tasks.archives.sdist import sdist_metadata
from mirror_tasks.archives.wheel import wheel_metadata
from mirror_tasks.errors import IntegrityError, MetadataError
from mirror_tasks.files import read_or_none, sha256_of_bytes
from mirror_tasks.index.file_names import is_wheel
from mirror_tasks.index.pages import JSON_TYPE, parse_page
from mirror_tasks.index.project import File, Project
from mirror_tasks.resolve.points import Met


class Published:
    """The universe of a finished mirror directory."""

    def __init__(self, output: Path, met: Met | None = None) -> None:
        self.output = output
        self._met = met or Met(())
        self._projects: dict[NormalizedName, Project | None] = {}
        self._metadata: dict[str, CoreMetadata | Unusable] = {}

    def project(self, name: NormalizedName) -> Project | None:
        """Return a project as its published page shows it."""
        if name not in self._projects:
            path = self.output / "simple" / name / "index.v1_json"
            body = read_or_none(path)
            project = None if body is None else parse_page(body, JSON_TYPE, path.as_uri(), name)
            self._projects[name] = project
            for file in project.all_files() if project else ():
                self._met.meet(file, None)
        return self._projects[name]

    def metadata(self, name: NormalizedName, file: File) -> CoreMetadata | Unusable:
        """Return the published core metadata of a file, or why it can't be used.

        :raises IntegrityError: it is not what the page announces, which is fatal in every client.
        """
        if file.filename not in self._metadata:
            try:
                found = self._read(file)
            except MetadataError as error:
                found = Unusable(reason_of(error))
            self._metadata[file.filename] = found
            self._met.meet(file, found if isinstance(found, CoreMetadata) else found.repaired)
        return self._metadata[file.filename]

    @staticmethod
    def has(file: File) -> bool:
        """Say if the file itself is there, in the size that its page announces; its hash is for ``server.py --check``."""
        try:
            return _path_of(file).stat().st_size == file.size
        except OSError:
            return False

    def _read(self, file: File) -> CoreMetadata | Unusable:
        path = _path_of(file)
        if is_wheel(file.filename) and file.core_metadata is not None:
            content = read_or_none(path.with_name(f"{path.name}.metadata"))
            found = "nothing" if content is None else sha256_of_bytes(content)
            if content is None or found != file.core_metadata.get("sha256"):
                expected = f"expected {file.core_metadata.get('sha256')}, found {found}"
                raise IntegrityError("reading the core metadata of", str(path), expected, "Run `doit mirror` again.")
            return read_metadata(content, file.filename)
        with path.open("rb") as archive:
            if is_wheel(file.filename):
                return read_metadata(wheel_metadata(archive, file.filename), file.filename)
            return sdist_metadata(archive, file.filename)


def _path_of(file: File) -> Path:
    return Path(url2pathname(file.url.removeprefix("file://")))
