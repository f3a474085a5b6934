"""What acquires: pages, core metadata and files, fetched, checked, read, and put in place.

The way of one file from upstream to its place:

1. The page of its project names it, with its URL, size and hash (:mod:`~mirror_tasks.work.project_pages`); where the page
   gives no SHA-256, the file is fetched once, and the hash that it had then is its fingerprint from there on
   (:mod:`~mirror_tasks.work.fingerprints`).
2. What it requires is read from the core metadata that the index announces beside a wheel, else from the end of the wheel
   by ranges, else from the whole file (:mod:`~mirror_tasks.work.metadata`).
3. A file that was fetched whole to be read, or before the plan was made because it is sure to be in it, is held in the
   state folder (:mod:`~mirror_tasks.work.files`).
4. In its turn a file that is neither held nor mirrored is fetched, beside its place under a hidden name, until it is whole
   and its size and hash are right; then the METADATA of a wheel is read from the wheel itself, and compared with what the
   plan was made from (:mod:`~mirror_tasks.work.downloads`).
5. Its core metadata and then the file itself are moved to their places and entered in the ledger; if other files stood
   there, the manifest was withdrawn before.
"""

from __future__ import annotations

from collections.abc import Callable

from mirror_tasks.index.client import Upstream
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.work.downloads import Downloads
from mirror_tasks.work.files import Files
from mirror_tasks.work.fingerprints import Fingerprints
from mirror_tasks.work.index_advisories import IndexAsker
from mirror_tasks.work.metadata import MetadataReader
from mirror_tasks.work.project_pages import ProjectPages
from mirror_tasks.work.provenance import Provenance


class Acquirer:
    """All that acquires for one mirror.

    :param upstream: where pages and files come from; opened when first asked, so that a look at the state needs none.
    :param received: counts the bytes of files that arrive; called from many threads.
    :param checks_room: look if there is room on the disk before a file is fetched.
    """

    def __init__(
        self, mirror: Mirror, upstream: Upstream, received: Callable[[int], None], *, checks_room: bool = True
    ) -> None:
        self.fingerprints = Fingerprints(mirror)
        self.files = Files(mirror, upstream, self.fingerprints, received, checks_room=checks_room)
        self.pages = ProjectPages(mirror, upstream, self.fingerprints)
        self.metadata = MetadataReader(mirror, upstream, self.files)
        self.downloads = Downloads(mirror, self.files)
        self.provenance = Provenance(mirror, upstream)
        self.advisories = IndexAsker(mirror, upstream)
