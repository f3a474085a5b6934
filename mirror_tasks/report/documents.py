"""The files of a report: which there are, what each is, and the one digest that all of them have."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mirror_tasks.files import sha256_of_bytes
from mirror_tasks.report.changes import changes_json, changes_md
from mirror_tasks.report.dossier import Dossier
from mirror_tasks.report.page import STYLE, page, style

SUMS = "SHA256SUMS"
APPROVED = "approved.json"

_WHAT = {
    "sbom.cdx.json": "all components with licences, hashes, dependencies and vulnerabilities: CycloneDX 1.6",
    "packages.csv": "a line a file: release, size, SHA-256, licence, index, when uploaded, environments, who asked",
    "changes.json": "what changed, for programs",
    "changes.md": "what changed, as Markdown",
    "advisories.json": "every advisory on what is here, with its judgement",
    "provenance.json": "for each file, whether its index offers an attestation, and whose",
}
_SBOM = re.compile(r"sbom-(.+)\.cdx\.json")


def what_is(path: str) -> str:
    """Return what a document is, in words."""
    if found := _SBOM.fullmatch(path):
        return f"the same of what is for {found[1]}"
    return _WHAT.get(path, "an SBOM that a wheel carries itself")


def documents(dossier: Dossier, others: Mapping[str, bytes], *, style_beside: bool) -> Mapping[str, bytes]:
    """Return the files of a report by their paths, ``SHA256SUMS`` of all of them among them.

    :param others: documents that are made elsewhere.
    :param style_beside: the style sheet of the page is a file of its own.
    """
    beside = {**others, "changes.json": changes_json(dossier.changes), "changes.md": changes_md(dossier.changes)}
    named = [(path, what_is(path)) for path in sorted(beside, key=_in_order)]
    files = {
        **beside,
        "index.html": page(dossier, named, style_beside=style_beside),
        **({STYLE: style()} if style_beside else {}),
    }
    return {**files, SUMS: sums(files)}


def _in_order(path: str) -> tuple[bool, bool, str]:
    """Return by what documents are sorted: those of the whole mirror first."""
    return path not in _WHAT, "/" in path, path


def sums(files: Mapping[str, bytes]) -> bytes:
    """Return the SHA-256 of files as ``sha256sum`` reads it."""
    return "".join(f"{sha256_of_bytes(content)}  {path}\n" for path, content in sorted(files.items())).encode()


def digest_of(files: Mapping[str, bytes]) -> str:
    """Return what a report is told by: the SHA-256 of its ``SHA256SUMS``."""
    return sha256_of_bytes(files[SUMS])
