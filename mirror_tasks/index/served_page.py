"""A page as an index served it, what is remembered of it for the next time, and whether it changed since."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from mirror_tasks.config.bindings import Binding
from mirror_tasks.config.model import Index
from mirror_tasks.errors import UpstreamError
from mirror_tasks.index.pages import JSON_TYPE

_STAYS = "What was mirrored stays. If it was meant to go, remove its page from the state folder."


@dataclass(frozen=True, slots=True)
class Seen:
    """What is remembered of a page, to ask for it only if it changed.

    :param url: the page's own, after redirects, without credentials.
    :param etag: the validator to ask again with, or None; ``last_modified`` likewise.
    :param sha256: of its body, for an index without validators.
    :param names_files: it seemed to list a file.
    :param index: the base URL of the index that it is of, without credentials.
    """

    url: str
    etag: str | None
    last_modified: str | None
    sha256: str
    names_files: bool
    index: str = ""

    def is_of(self, index: Index) -> bool:
        """Say if the page is one of this index; of a record that was lost only the URL is left."""
        return self.index == index.base if self.index else self.url.startswith(index.base)

    @property
    def conditions(self) -> dict[str, str]:
        """The headers that ask for the page only if it changed."""
        validators = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in validators.items() if value}


@dataclass(frozen=True, slots=True)
class Page:
    """A project's page as the index served it.

    :param url: the page's own, after redirects, without credentials: what its relative links are based on.
    :param body: as it was before any coding for the transfer.
    :param index: the base URL of the index that was asked, without credentials.
    """

    url: str
    content_type: str
    etag: str | None
    last_modified: str | None
    body: bytes
    index: str = ""

    @property
    def seen(self) -> Seen:
        """What to remember of it."""
        file = rb'"filename"' if self.content_type.startswith(JSON_TYPE) else rb"<a"
        names_files = re.search(file, self.body, re.IGNORECASE) is not None
        digest = hashlib.sha256(self.content_type.encode() + b"\n")
        digest.update(self.body)
        return Seen(self.url, self.etag, self.last_modified, digest.hexdigest(), names_files, self.index)


def unless_unchanged(page: Page, known: Seen | None) -> Page | None:
    """Return the page, or None if it is the known one: an index without validators sends what did not change, too.

    :raises UpstreamError: all its files are gone.
    """
    if known is None:
        return page
    seen = page.seen
    if (seen.url, seen.sha256, seen.index) == (known.url, known.sha256, known.index):
        return None
    if known.names_files and not seen.names_files:
        problem = "expected files, as when it was last seen, found none"
        advice = "What was mirrored stays. If its files were meant to go, remove its page from the state folder."
        raise UpstreamError("fetching the project page", page.url, problem, advice)
    return page


def if_still_of(binding: Binding, known: Seen | None) -> Seen | None:
    """Return what is remembered of a page, or None if ``mirror.yaml`` no longer lets the index that it is of serve the project.

    The project then did not vanish: the user moved it, and what the other index said of it counts for nothing.
    """
    if known is None or not known.index or any(known.index == index.base for index in binding.indexes):
        return known
    return None


def vanished(name: str, index: Index) -> UpstreamError:
    """Return the error of a project that an index has no more."""
    problem = f"expected it in {index.label}, as when it was last seen, found no such project"
    return UpstreamError("fetching the page of", name, problem, _STAYS, status=404)


def absent(name: str, binding: Binding, known: Seen | None) -> UpstreamError:
    """Return the error of a project that no index has which may serve it."""
    problem = f"expected a project of this name, found that {binding.found}"
    before = (
        f" It was last seen in {known.index or known.url}, which may not serve it any more. {_STAYS}" if known else ""
    )
    bound = "" if binding.pattern is None else ", and projects under index in mirror.yaml"
    return UpstreamError("fetching the page of", name, problem, f"Check the spelling{bound}.{before}", status=404)
