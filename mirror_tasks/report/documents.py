"""The files of a report: which there are, what each is, and the one digest that all of them have."""

from __future__ import annotations

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
_CARRIED = "SBOMs that wheels carry themselves"


def documents(
    dossier: Dossier, others: Mapping[str, bytes], carried: Mapping[str, bytes], *, style_beside: bool
) -> Mapping[str, bytes]:
    """Return the files of a report by their paths, ``SHA256SUMS`` of all of them among them.

    :param others: documents by name that are made elsewhere, of the names that are known here.
    :param carried: SBOMs that stand in wheels, by path.
    :param style_beside: the style sheet of the page is a file of its own.
    """
    beside = {**others, "changes.json": changes_json(dossier.changes), "changes.md": changes_md(dossier.changes)}
    named = [(name, what) for name, what in _WHAT.items() if name in beside]
    named += [(path, _CARRIED) for path in sorted(carried)]
    files = {
        **beside,
        **carried,
        "index.html": page(dossier, named, style_beside=style_beside),
        **({STYLE: style()} if style_beside else {}),
    }
    return {**files, SUMS: sums(files)}


def sums(files: Mapping[str, bytes]) -> bytes:
    """Return the SHA-256 of files as ``sha256sum`` reads it."""
    return "".join(f"{sha256_of_bytes(content)}  {path}\n" for path, content in sorted(files.items())).encode()


def digest_of(files: Mapping[str, bytes]) -> str:
    """Return what a report is told by: the SHA-256 of its ``SHA256SUMS``."""
    return sha256_of_bytes(files[SUMS])
