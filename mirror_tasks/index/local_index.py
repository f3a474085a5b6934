"""An index that is a folder of this machine, as pip reads it: a folder for each project, with an ``index.html``.

An index of several is asked first because it is to serve some names. Where a folder has something of a project and no
page that says so, the next index must not serve that name in silence: it may be somebody else's project.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urljoin

from packaging.utils import canonicalize_name

from mirror_tasks.errors import IntegrityError, PageError, UpstreamError
from mirror_tasks.index.file_names import version_of
from mirror_tasks.index.local_files import local_path, read_at_most, unreadable
from mirror_tasks.index.served_page import Page

_MOST_SHOWN = 3  # names that a message tells; the others are counted
_UNLISTED = (
    "As for pip, an index on this machine is a folder with a folder for each project, in which index.html links to its "
    "files: write one, or take the folder out of the index setting. No other index is asked for this name."
)


def local_page(url: str, limit: int) -> Page | None:
    """Return the page of the project whose folder ``url`` is; None where there is none.

    :param limit: bytes.
    :raises UpstreamError: it can't be read, or is larger than ``limit``.
    """
    address = urljoin(url, "index.html")
    try:
        with local_path(address).open("rb") as stream:
            return Page(address, "text/html", None, None, read_at_most(stream, limit, address))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unreadable(address, error) from error


def check_unlisted(base: str, name: str) -> None:
    """Refuse to ask the next index for a project of which a folder has something and no page.

    :param base: the URL of the folder.
    :raises UpstreamError: it has something of the project ``name`` (normalised), or can't be read.
    """
    try:
        problem = _unlisted(local_path(base), name)
    except OSError as error:
        raise unreadable(base, error) from error
    if problem is not None:
        raise UpstreamError("looking for the page of", f"{name} in {base}", problem, _UNLISTED)


def _unlisted(folder: Path, name: str) -> str | None:
    """Return what a folder has of the project ``name`` (normalised) that no page lists, as a phrase; None for nothing.

    :raises OSError: it can't be read.
    """
    if not folder.exists():
        return "expected the folder of an index, found none there"
    if not folder.is_dir():
        return "expected the folder of an index, found a file"
    entries = sorted(path.name for path in folder.iterdir())
    same = [entry for entry in entries if canonicalize_name(entry) == name]
    if name in same:
        return f"expected index.html in the folder {name}, found {_inside(folder / name)}"
    if same:
        return f"expected a folder with the normalised name {name}, found {_shown(same)}"
    if flat := [entry for entry in entries if _is_of(entry, name)]:
        return f"expected a folder {name} with index.html, found files of it beside the folders: {_shown(flat)}"
    return None


def _inside(path: Path) -> str:
    if not path.is_dir():
        return "a file of that name"
    entries = sorted(entry.name for entry in path.iterdir())
    return _shown(entries) if entries else "nothing"


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_SHOWN} more" if names[_MOST_SHOWN:] else ""
    return ", ".join(map(ascii, names[:_MOST_SHOWN])) + more


def _is_of(filename: str, project: str) -> bool:
    try:
        version_of(filename, project)
    except (PageError, IntegrityError):
        return False
    return True
