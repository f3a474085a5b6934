"""A project's page of a package index, in JSON or HTML, becomes a :class:`Project`: its releases and their files."""

from __future__ import annotations

from packaging.utils import canonicalize_name

from mirror_tasks.errors import PageError
from mirror_tasks.index.entries import refused
from mirror_tasks.index.html_page import read_html
from mirror_tasks.index.json_page import read_json
from mirror_tasks.index.project import Project

JSON_TYPE = "application/vnd.pypi.simple.v1+json"
HTML_TYPES = frozenset({"text/html", "application/vnd.pypi.simple.v1+html"})


def parse_page(body: bytes, content_type: str, url: str, name: str, index: str = "") -> Project:
    """Read the page of the project ``name``, fetched from ``url``, on which its relative links are based.

    :param content_type: as the answer's header says it, parameters included.
    :param index: the base URL of the index that served it.
    :raises PageError: the page is not what it claims to be, of another project, or of a version not known here.
    """
    name = canonicalize_name(name)
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    if kind != JSON_TYPE and kind not in HTML_TYPES:
        raise refused(url, f"expected a project page in JSON or HTML, found {kind or 'no content type'!r:.100}")
    try:
        project = read_json(body, url, name) if kind == JSON_TYPE else read_html(body, parameters, url, name)
    except PageError:
        raise
    except Exception as error:  # A page is hostile until it is read: whatever its parsers raise costs this page alone.
        told = f"{type(error).__name__}: {error}"
        raise refused(url, f"expected a page that can be read, found one that can't ({told!s:.200})") from error
    project.index = index
    return project
