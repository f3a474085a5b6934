"""Core metadata as it arrives, judged by the policy: what that refuses by what a file says is as good as unusable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from packaging.utils import NormalizedName

from mirror_tasks.archives.core_metadata import CoreMetadata, Unusable
from mirror_tasks.index.file_names import version_of
from mirror_tasks.index.project import File
from mirror_tasks.policy.permission import Permission


class JudgedMetadata:
    """Judges core metadata, and says of which files it has to be read for that.

    :param known: the core metadata that arrived, by file name, as it was judged.
    :ivar refused: what files say that the policy refuses by that, by file name.
    :ivar rules: the rule that refuses each of these.
    """

    def __init__(self, permission: Permission | None, known: Mapping[str, object]) -> None:
        self.refused: dict[str, CoreMetadata | Unusable] = {}
        self.rules: dict[str, str] = {}
        self._permission = permission
        self._known = known

    @property
    def is_needed(self) -> bool:
        """Whether each file has to be read, since the policy judges by what it says."""
        return self._permission is not None and self._permission.reads_metadata

    def judged(
        self, project: NormalizedName, filename: str, metadata: CoreMetadata | Unusable
    ) -> CoreMetadata | Unusable:
        """Return core metadata as it arrived, or that the policy refuses it.

        :param project: on whose page the file stands: ``a-1-2.tar.gz`` may be of ``a-1`` by what it says itself.
        """
        read = metadata.repaired if isinstance(metadata, Unusable) else metadata  # that which an installer may take
        if self._permission is None or read is None:
            return metadata
        finding = self._permission.refusal_in(project, version_of(filename, project), read)
        if finding is None:
            return metadata
        self.refused[filename], self.rules[filename] = metadata, finding.rule
        return Unusable(finding.reason)

    def to_read(self, of_release: Sequence[File]) -> list[File]:
        """Return the files of a release whose metadata is still to be judged; not those that say the same as one that was."""
        if not self.is_needed:
            return []
        unread = (file for file in of_release if file.filename not in self._known)
        return [file for file in unread if self._twin(file, of_release) is None]

    def is_refused(self, file: File, of_release: Iterable[File]) -> bool:
        """Say if the policy refuses a file by its metadata, or by that of another which has the same, as the page says.

        Where the policy judges by metadata, a file whose metadata nobody could read is refused too.
        """
        if not self.is_needed or file.filename in self._known:
            return file.filename in self.refused
        twin = self._twin(file, of_release)
        return twin is None or twin.filename in self.refused

    def _twin(self, file: File, others: Iterable[File]) -> File | None:
        """Return a file whose metadata is known and, by the hashes of the page, another's too: nearly every wheel has one."""
        sha256 = (file.core_metadata or {}).get("sha256")
        if sha256 is None:
            return None
        known = (one for one in others if isinstance(self._known.get(one.filename), (CoreMetadata, Unusable)))
        return next((one for one in known if (one.core_metadata or {}).get("sha256") == sha256), None)
