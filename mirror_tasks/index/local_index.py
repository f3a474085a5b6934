"""What a folder that should be an index has of a project for which there is no page in it.

An index of several is asked first because it is to serve some names. Where a folder has something of a project and no
page that says so, the next index must not serve that name in silence: it may be somebody else's project.
"""

from __future__ import annotations

from pathlib import Path

from packaging.utils import canonicalize_name

from mirror_tasks.errors import IntegrityError, PageError
from mirror_tasks.index.file_names import version_of

_MOST_SHOWN = 3  # names that a message tells; the others are counted


def unlisted(folder: Path, name: str) -> str | None:
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
