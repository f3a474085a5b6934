"""A dossier for programs: what `doit report --format json` prints; docs/dossier.md says what its keys mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mirror_tasks.files import sha256_of_bytes
from mirror_tasks.report.changes import as_document
from mirror_tasks.report.documents import digest_of
from mirror_tasks.report.dossier import Dossier
from mirror_tasks.report.exceptions import UsedException
from mirror_tasks.report.holes import Hole
from mirror_tasks.report.judged_licences import OddLicence

FORMAT = 1


def summary(dossier: Dossier, files: Mapping[str, bytes], folder: str) -> dict[str, Any]:
    """Return it.

    :param files: of the report, by path.
    :param folder: the name of the report's folder.
    """
    plan, judged = dossier.plan, dossier.plan.judged
    return {
        "format": FORMAT,
        "folder": folder,
        "digests": {
            "report": digest_of(files),
            "plan": dossier.plan_digest,
            "policy": judged.policy if judged else None,
            "files": {path: sha256_of_bytes(content) for path, content in sorted(files.items())},
        },
        "as_of": judged.as_of if judged else None,
        "totals": {
            "projects": len(plan.by_project),
            "releases": len(plan.by_release),
            "files": len(plan.files),
            "bytes": plan.size,
            "kept_files": len(plan.kept),
        },
        "environments": [str(one["name"]) for one in plan.environments],
        "requirements": [
            {
                "requirement": one.root.name,
                "where": one.root.key_path,
                "releases": one.releases,
                "bytes": one.size,
                "bytes_alone": one.alone,
            }
            for one in dossier.roots
        ],
        "changes": as_document(dossier.changes),
        "licences": {one.text: one.releases for one in dossier.licences},
        "licences_to_look_at": [_odd(one) for one in dossier.odd_licences],
        "advisories": {
            "from": dossier.advisories_from or None,
            "found": [_hole(one) for one in dossier.holes],
        },
        "exceptions": [_exception(one) for one in dossier.exceptions],
        "refused": [
            {
                "project": one.project,
                "rule": one.rule,
                "versions": list(one.versions),
                "environments": list(one.environments),
                "reason": one.reason,
            }
            for one in dossier.refused
        ],
        "not_checked": list(dossier.unchecked),
        "provenance": list(dossier.origins),
        "lacking": list(plan.lacking),
    }


def _odd(one: OddLicence) -> dict[str, Any]:
    waived = one.waived
    return {
        "release": one.release,
        "why": one.why,
        "said": [list(pair) for pair in one.said],
        "let_in_until": waived.until if waived else None,
    }


def _hole(one: Hole) -> dict[str, Any]:
    match, waiver = one.judgement.match, one.judgement.waiver
    return {
        "id": match.id,
        "aliases": list(match.aliases),
        "severity": match.severity,
        "malware": match.is_malware,
        "releases": list(one.releases),
        "fixed": list(match.fixed),
        "judgement": one.judgement.verdict,
        "reason": waiver.reason if waiver else None,
        "until": waiver.until.isoformat() if waiver else None,
    }


def _exception(one: UsedException) -> dict[str, Any]:
    return {
        "what": one.what,
        "reason": one.waiver.reason,
        "until": one.waiver.until.isoformat(),
        "where": one.waiver.where,
        "state": one.state.replace(" ", "-"),
        "releases": list(one.releases),
    }
