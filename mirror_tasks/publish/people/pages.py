"""The pages for people: what the mirror holds, and a page for each project. Plain HTML, complete without JavaScript.

What upstream wrote (names, summaries, licences, descriptions, reasons) is untrusted: it is shown as text and becomes
neither markup nor a link (:mod:`~mirror_tasks.publish.people.markup` and mypy see to it). Nothing is loaded from
another host and nothing stands inline, so that the strict Content-Security-Policy that ``server.py`` sends holds. All
links are relative and name files, so that the pages work behind any web server, below any prefix, and as ``file://``.
"""

from __future__ import annotations

import email.parser
import gzip
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from mirror_tasks.archives.core_metadata import CoreMetadata
from mirror_tasks.files import check_filename
from mirror_tasks.publish.people.contents import Contents
from mirror_tasks.publish.people.front_page import FrontPage
from mirror_tasks.publish.people.project_page import ProjectPage
from mirror_tasks.resolve.plan import Plan, PlannedFile

_LONGEST_METADATA = 4 << 20  # bytes read for a description

_ASSETS = Path(__file__).resolve().parent
_ASSET_NAMES = ("icon.svg", "search.js", "style.css")


def project_path(name: str) -> str:
    """Return where a project's page stands, relative to the mirror directory.

    :raises IntegrityError: the name is not safe as a path.
    """
    return f"project/{check_filename(name)}/index.html"


def assets() -> Mapping[str, bytes]:
    """Return what the pages load, by path relative to the mirror directory."""
    return {f"site/{name}": (_ASSETS / name).read_bytes() for name in _ASSET_NAMES}


def with_packed(pages: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Return the pages, each with the gzipped copy that web servers send; no time inside, so always the same bytes."""
    packed = (gzip.compress(content, mtime=0) for content in pages.values())
    return dict(zip(names_with_packed(pages), (*pages.values(), *packed), strict=True))


def names_with_packed(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of pages, and those of their gzipped copies."""
    names = tuple(names)
    return (*names, *(f"{name}.gz" for name in names))


def description_of(metadata: bytes) -> str | None:
    """Return the description in a METADATA or PKG-INFO, or None where there is none.

    Core metadata 2.1: the description "may be specified in the message body instead"; in the older header, each line
    but the first is indented, by eight spaces or by seven and a bar.
    """
    # The headers alone: a body that says to be of many parts would be taken apart, one within the other.
    message = email.parser.HeaderParser().parsestr(metadata[:_LONGEST_METADATA].decode("utf-8", "replace"))
    body = message.get_payload()
    header = re.sub(r"\n(?: {7}\||[ \t]{1,8})", "\n", str(message.get("Description", "")))
    text = body if isinstance(body, str) and body.strip() else header
    return None if text.strip() in ("", "UNKNOWN") else text.strip("\r\n")


class PeoplePages:
    """The pages of one plan, each made when it is asked for.

    :param metadata: gives a file's core metadata, or None where it is not known.
    :param descriptions: gives a file's description as :func:`description_of` reads it, or None.
    :param roots: the requirements of ``mirror.yaml``, as written.
    :param has_report: the report stands in the mirror, so that the front page leads to it.
    """

    def __init__(
        self,
        plan: Plan,
        metadata: Callable[[PlannedFile], CoreMetadata | None],
        descriptions: Callable[[PlannedFile], str | None],
        roots: Sequence[str],
        *,
        has_report: bool = False,
    ) -> None:
        self._contents = Contents(plan, metadata)
        self._descriptions = descriptions
        self._front_page = FrontPage(self._contents, roots, has_report=has_report)

    def front_page(self) -> bytes:
        """Return the page that says what the mirror holds and lists its projects."""
        return self._front_page.page()

    def project_page(self, name: str) -> bytes:
        """Return the page of a project.

        :raises KeyError: the mirror has no file of a project of this name.
        """
        return ProjectPage(self._contents, self._descriptions, name).page()
