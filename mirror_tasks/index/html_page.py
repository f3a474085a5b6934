"""A project's page in HTML (PEP 503) becomes a :class:`Project`: its anchors become entries of the JSON form."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Mapping
from urllib.parse import unquote, urljoin, urlsplit

from mirror_tasks.index.entries import DIGITS, MOST_FILES, Entry, check_api, project_of, refused, status_of
from mirror_tasks.index.file_names import is_sdist, is_wheel
from mirror_tasks.index.html_tags import Attributes, start_tags, unescaped
from mirror_tasks.index.project import Project

# Names of codecs that are charsets of pages; Python has others, such as idna, that decode no page.
_CHARSET = re.compile(
    r"utf-(8|8-sig|16|16-le|16-be)|ascii|iso8859-[0-9]+|cp[0-9]+|koi8-[rut]|mac-[a-z-]+|gb[0-9k]+|big5\w*|shift_jis\w*|euc_\w+"
)


def read_html(body: bytes, parameters: str, url: str, name: str) -> Project:
    """Read the page of the project ``name`` (normalised), fetched from ``url``.

    :param parameters: of the content type, which may say the charset.
    :raises PageError: it is no such page.
    :raises ValueError: it has more parts, or longer ones, than a page may have, or no meaning.
    """
    page = _Page(url)
    for tag, attributes in start_tags(_decoded(body, parameters, url)):
        page.take(tag, attributes)
    if page.api_version is not None:
        check_api(page.api_version, url)
    elif not page.looks_like_an_index():
        raise refused(url, "expected a page of links to files, found some other HTML")
    return project_of(name, page.base, page.entries, status_of(page.status))


def _decoded(body: bytes, parameters: str, url: str) -> str:
    """Return the text of a page; one in a charset that nobody knows is most probably UTF-8."""
    announced = re.search(r"charset=[\"']?([\w-]+)", parameters)
    try:
        charset = codecs.lookup(announced[1] if announced else "utf-8").name
    except LookupError:
        charset = "utf-8"
    if not _CHARSET.fullmatch(charset):
        raise refused(url, f"expected a charset that pages are written in, such as utf-8, found {charset}")
    return body.decode(charset, "replace")


class _Page:
    """Collects the anchors of a page as entries of the JSON form."""

    def __init__(self, url: str) -> None:
        self.base = url
        self.entries: list[Entry] = []
        self.api_version: str | None = None
        self.status: dict[str, object] = {}
        self._tags: Counter[str] = Counter()

    def take(self, tag: str, attributes: Attributes) -> None:
        """Take in a start tag.

        :raises ValueError: it has no meaning, or there are more links than a page may have.
        """
        self._tags[tag] += 1
        if tag == "a":
            self._anchor({name: unescaped(value or "") for name, value in attributes.items()})
            if len(self.entries) > MOST_FILES:
                raise ValueError(f"more than {MOST_FILES:,} files")
        elif tag == "base" and self._tags[tag] == 1:
            self._rebase(unescaped(attributes.get("href") or ""))
        elif tag == "meta":
            self._meta({name: unescaped(value or "") for name, value in attributes.items()})

    def _rebase(self, link: str) -> None:
        base = urljoin(self.base, link)
        if urlsplit(base).scheme != urlsplit(self.base).scheme and urlsplit(base).scheme not in ("http", "https"):
            # Else a page fetched over the network could name files of this machine.
            raise ValueError("its base is of another scheme than http and https")
        self.base = base

    def looks_like_an_index(self) -> bool:
        """Tell a page without files from a login form or an error page that came with status 200."""
        if any(is_wheel(entry["filename"]) or is_sdist(entry["filename"]) for entry in self.entries):
            return True
        return not any(self._tags[tag] for tag in ("form", "input", "script", "iframe", "a"))

    def _meta(self, attrs: Mapping[str, str]) -> None:
        name, content = attrs.get("name"), attrs.get("content")
        if name == "pypi:repository-version":
            self.api_version = content or ""
        elif name == "pypi:project-status":
            self.status["status"] = content
        elif name == "pypi:project-status-reason":
            self.status["reason"] = content

    def _anchor(self, attrs: Mapping[str, str]) -> None:
        link, _, fragment = attrs.get("href", "").strip().partition("#")
        # pip and uv take the URL's last part for the name: a directory lister may cut the anchor's text short.
        filename = unquote(link.partition("?")[0].rpartition("/")[2])
        if not filename:
            return
        entry: Entry = {"filename": filename, "url": link, "hashes": _announced(fragment)}
        entry["requires-python"] = attrs.get("data-requires-python")
        entry["provenance"] = attrs.get("data-provenance")
        if "data-yanked" in attrs:
            entry["yanked"] = attrs["data-yanked"] or True
        for key in ("core-metadata", "dist-info-metadata"):
            value = attrs.get(f"data-{key}")
            if value is not None:
                entry[key] = _announced(value) or value == "true"
        self.entries.append(entry)


def _announced(text: str) -> dict[str, str]:
    """Return the hashes in ``sha256=…``, the form of a link's fragment and of ``data-core-metadata``."""
    pairs = (part.partition("=") for part in text.split("&"))
    return {algorithm: digest for algorithm, _, digest in pairs if algorithm in DIGITS and digest}


# How many hexadecimal digits the digests have of the algorithms that installers know.
