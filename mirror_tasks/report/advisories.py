"""The document ``advisories.json``: every advisory on what is in a mirror, with what the policy says of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from packaging.utils import canonicalize_name
from packaging.version import Version

from mirror_tasks.config.policy import AdvisoryRule, Policy
from mirror_tasks.files import to_json
from mirror_tasks.policy.advisories import VERDICTS, Advisories, Judgement, judged
from mirror_tasks.report.components import Component

_NOTHING_REFUSED = AdvisoryRule(source=None, shown="", refuse=None, malware="report", not_checked="report")


def advisories_json(components: Iterable[Component], policy: Policy | None, advisories: Advisories | None) -> bytes:
    """Return the document; the same mirror gives the same bytes.

    :param advisories: by which was judged; None: nothing was.
    """
    listed = tuple(components)
    found = [(one, judgements) for one in listed if (judgements := tuple(_judged(one, policy)))]
    verdicts = [judgement.verdict for _, judgements in found for judgement in judgements]
    return to_json(
        {
            "format": 1,
            "from": None if advisories is None else source_json(advisories),
            "counts": {verdict: verdicts.count(verdict) for verdict in VERDICTS},
            "releases": [
                {
                    "project": one.project,
                    "version": one.version,
                    "environments": list(one.environments),
                    "advisories": [judgement_json(judgement) for judgement in judgements],
                }
                for one, judgements in found
            ],
            "not_checked": [one.name for one in listed if one.matches is None],
        }
    )


def _judged(one: Component, policy: Policy | None) -> Iterator[Judgement]:
    rule = (policy.advisories if policy else None) or _NOTHING_REFUSED
    exceptions = policy.exceptions if policy else ()
    yield from judged(one.matches or (), rule, exceptions, canonicalize_name(one.project), Version(one.version))


def source_json(source: Advisories) -> Mapping[str, object]:
    """Return by what was judged, as JSON has it."""
    return {
        "shown": source.shown,
        "sha256": source.digest,
        "newest": source.newest,
        "records": source.records,
    }


def judgement_json(one: Judgement) -> dict[str, object]:
    """Return a judgement as JSON has it."""
    match, waiver = one.match, one.waiver
    return {
        "advisory": match.id,
        "aliases": list(match.aliases),
        "severity": match.severity,
        "severity_from": match.severity_from,
        "malware": match.is_malware,
        "summary": match.summary,
        "fixed_in": list(match.fixed),
        "judgement": one.verdict,
        "waiver": waiver and {"reason": waiver.reason, "until": waiver.until.isoformat(), "where": waiver.where},
    }
