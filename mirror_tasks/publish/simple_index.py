"""The pages of the simple index, in HTML and JSON, as the simple repository API describes them (version 1.4).

https://packaging.python.org/en/latest/specifications/simple-repository-api/

Only the keys that every client reads rightly are written: no ``dist-info-metadata`` (its JSON object crashes pip
23.0.1), no ``null`` for what is unknown (uv refuses the page), sha256 alone among the hashes (uv refuses others). No
``provenance`` either: PEP 740 wants a fully qualified URL of a secure origin, which nobody knows of a directory that is
copied, and those that upstream named lead out of the closed network. What they say stands in the dossier
(:mod:`mirror_tasks.report.provenance`).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

from mirror_tasks.resolve.plan import PlannedFile

API_VERSION = "1.4"
# pip reads file:// indexes from index.html only; the two others are the names that web-server recipes know.
_PLAIN = ("index.html", "index.v1_html", "index.v1_json")
FORMS = (*_PLAIN, *(f"{name}.gz" for name in _PLAIN))  # the names of a page


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file as the mirror offers it.

    :param size: its size on disk in bytes.
    :param metadata_sha256: of the ``.metadata`` file beside it; None where there is none.
    """

    planned: PlannedFile
    size: int
    metadata_sha256: str | None


def project_pages(
    name: str, files: Sequence[PublishedFile], status: tuple[str, str] | None = None
) -> Mapping[str, bytes]:
    """Return the page of a project under each of the names that servers and ``file://`` clients look for.

    :param name: normalised.
    :param status: PEP 792 status and reason, where it is not plain "active".
    """
    ordered = sorted(files, key=lambda published: published.planned.filename)
    return _forms(_project_html(name, ordered, status), _project_json(name, ordered, status))


def root_pages(names: Iterable[str]) -> Mapping[str, bytes]:
    """Return the page that lists the projects, under each of its names."""
    ordered = sorted(names)
    anchors = "".join(f'<a href="{name}/">{name}</a><br>\n' for name in ordered)
    content = {"meta": {"api-version": API_VERSION}, "projects": [{"name": name} for name in ordered]}
    return _forms(_html("Simple index", "", anchors), _json(content))


def _forms(html: bytes, page: bytes) -> Mapping[str, bytes]:
    # The compressed copies are for servers that send them as they are; without a time inside, they are always the same.
    html_gz, page_gz = (gzip.compress(content, mtime=0) for content in (html, page))
    return dict(zip(FORMS, (html, html, page, html_gz, html_gz, page_gz), strict=True))


def file_url(file: PlannedFile) -> str:
    """Return the URL of a file relative to its project's page, so that it survives copying and proxies."""
    return f"../../packages/{file.project}/{quote(file.filename)}"


def _project_html(name: str, files: Sequence[PublishedFile], status: tuple[str, str] | None) -> bytes:
    metas = ""
    if status:
        metas = f'<meta name="pypi:project-status" content="{escape(status[0])}">\n'
        if status[1]:
            metas += f'<meta name="pypi:project-status-reason" content="{escape(status[1])}">\n'
    return _html(f"Links for {name}", metas, "".join(_anchor(published) for published in files))


def _html(title: str, metas: str, body: str) -> bytes:
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="pypi:repository-version" content="{API_VERSION}">\n{metas}'
        f"<title>{escape(title)}</title>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n{body}</body>\n</html>\n"
    ).encode()


def _anchor(published: PublishedFile) -> str:
    file = published.planned.file
    attributes = [f'href="{file_url(published.planned)}#sha256={published.planned.sha256}"']
    if file.requires_python:
        attributes.append(f'data-requires-python="{escape(file.requires_python)}"')
    if file.yanked is not None:
        attributes.append(f'data-yanked="{escape(file.yanked)}"')
    if published.metadata_sha256:
        attributes.append(f'data-core-metadata="sha256={published.metadata_sha256}"')
    return f"<a {' '.join(attributes)}>{escape(file.filename)}</a><br>\n"


def _project_json(name: str, files: Sequence[PublishedFile], status: tuple[str, str] | None) -> bytes:
    content: dict[str, Any] = {
        "meta": {"api-version": API_VERSION},
        "name": name,
        "versions": sorted({published.planned.version for published in files}),
        "files": [_entry(published) for published in files],
    }
    if status:
        content["project-status"] = {"status": status[0], **({"reason": status[1]} if status[1] else {})}
    return _json(content)


def _entry(published: PublishedFile) -> Mapping[str, Any]:
    file = published.planned.file
    entry: dict[str, Any] = {
        "filename": file.filename,
        "url": file_url(published.planned),
        "hashes": {"sha256": published.planned.sha256},
        "size": published.size,
    }
    if file.requires_python:
        entry["requires-python"] = file.requires_python
    if file.yanked is not None:
        entry["yanked"] = file.yanked or True
    if file.upload_time:
        entry["upload-time"] = file.upload_time
    if published.metadata_sha256:
        entry["core-metadata"] = {"sha256": published.metadata_sha256}
    return entry


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, ensure_ascii=False) + "\n").encode()
