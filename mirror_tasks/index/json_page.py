"""A project's page in JSON (PEP 691) becomes a :class:`Project`."""

from __future__ import annotations

from packaging.utils import canonicalize_name

from mirror_tasks.index.entries import MOST_FILES, Entry, check_api, project_of, refused, status_of
from mirror_tasks.index.project import Project
from mirror_tasks.index.untrusted_json import read_untrusted

_MOST_CONTAINERS = 500_000  # of a JSON page, objects and lists: a file has two to four
_MOST_VALUES = 2_000_000  # of a JSON page: a file has a dozen


def read_json(body: bytes, url: str, name: str) -> Project:
    """Read the page of the project ``name`` (normalised), fetched from ``url``.

    :raises PageError: it is no such page, or a larger one than is read.
    """
    page = _load(body, url)
    files = page.get("files")
    if not isinstance(files, list):
        raise refused(url, "expected a list of files, found none")
    if len(files) > MOST_FILES:
        raise refused(url, f"expected at most {MOST_FILES:,} files, found {len(files):,}")
    meta = page.get("meta")
    check_api(meta.get("api-version") if isinstance(meta, dict) else None, url)
    stated = page.get("name", name)
    if not isinstance(stated, str) or canonicalize_name(stated) != name:
        raise refused(url, f"expected the page of {name}, found that of {stated!r:.100}")
    status = page.get("project-status")
    return project_of(name, url, files, status_of(status) if isinstance(status, dict) else ("active", None))


def _load(body: bytes, url: str) -> Entry:
    try:
        page = read_untrusted(body, most_containers=_MOST_CONTAINERS, most_values=_MOST_VALUES)
    except ValueError as error:
        raise refused(url, str(error)) from error
    if not isinstance(page, dict):
        raise refused(url, f"expected a JSON object, found {type(page).__name__}")
    return page
