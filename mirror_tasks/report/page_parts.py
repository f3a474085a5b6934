"""The parts of the page of a dossier, each a function of what the dossier knows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from mirror_tasks.policy.advisories import Judgement
from mirror_tasks.publish.people.markup import NOTHING, Markup, joined, markup
from mirror_tasks.report.changes import PROJECT_HEADS, Changes, project_row
from mirror_tasks.report.dossier import Dossier, RootCost
from mirror_tasks.report.exceptions import UsedException
from mirror_tasks.report.holes import Hole
from mirror_tasks.report.html import Cell, bar, code, heading, items, mark, paragraph, table
from mirror_tasks.report.judged_licences import LicenceCount, OddLicence, shown
from mirror_tasks.report.rules import rules_in_words
from mirror_tasks.text import readable

_MOST_NAMED = 8
_LONGEST = 300  # characters of a foreign line


def changes(found: Changes) -> Markup:
    """Return what changed since something, or that all is new."""
    parts = [paragraph(f"Compared with {found.base.name}: {found.sentence}.")]
    if found.not_compared:
        parts.append(paragraph(f"Not known of before, and so not compared: {', '.join(found.not_compared)}.", "note"))
    if not found.is_first:
        parts += [_changed_projects(found), _changed_roots(found), _changed_licences(found), _changed_holes(found)]
    return joined(parts)


def _changed_projects(changes: Changes) -> Markup:
    rows = [project_row(one) for kind in ("new", "gone", "changed") for one in changes.of_kind(kind)]
    heads = [head.capitalize() for head in PROJECT_HEADS]
    return table("changes", "Projects that are new, gone or changed", heads, rows)


def _changed_roots(changes: Changes) -> Markup:
    rows = [(code(one.root), one.kind, _codes(one.gone), _codes(one.new)) for one in changes.roots]
    found = table("roots", "Requirements that changed", ["Requirement", "Change", "No more", "Now"], rows)
    return joined([heading("Requirements"), found]) if found else NOTHING


def _changed_licences(changes: Changes) -> Markup:
    rows = [(one.project, ", ".join(one.before), ", ".join(one.after)) for one in changes.licences]
    found = table("licences", "Licences that changed", ["Project", "Before", "Now"], rows)
    return joined([heading("Licences"), found]) if found else NOTHING


def _changed_holes(changes: Changes) -> Markup:
    rows = [(one.id, one.kind, one.severity, f"{one.project} {named(one.versions)}") for one in changes.advisories]
    found = table("holes", "Advisories that came and went", ["Advisory", "Change", "Severity", "On"], rows)
    return joined([heading("Advisories"), found]) if found else NOTHING


def requirements(dossier: Dossier) -> Markup:
    """Return what each root brings, with a picture of the sizes."""
    note = "What each requirement of mirror.yaml brings. The bar is all that it needs; its dark part is what nothing else needs."
    most = max((one.size for one in dossier.roots), default=0)
    heads = ["Requirement", "Asked for in", "Releases", "All that it needs", "Only for it", "Share"]
    rows = [_root_row(one, most) for one in dossier.roots]
    return joined([paragraph(note, "note"), table("roots", "Requirements and their sizes", heads, rows)])


def _root_row(cost: RootCost, most: int) -> Sequence[Cell]:
    root = cost.root
    asked = "what clients asked for" if root.wished else root.key_path
    where = f"{asked}, for {', '.join(root.environments)}" if root.environments is not None else asked
    picture = bar(cost.size, cost.alone, most)
    return code(root.name), where, f"{cost.releases:,}", _size(cost.size), _size(cost.alone), picture


def licences(dossier: Dossier) -> Markup:
    """Return the licences: those to look at first."""
    rule = dossier.policy.licences if dossier.policy else None
    allowed = None if rule is None or rule.allow is None else sorted(rule.allow)
    said = "The policy says nothing of licences." if rule is None else "The policy allows all of them."
    note = said if allowed is None else f"The policy allows {', '.join(allowed)}."
    is_waived = any(one.waived for one in dossier.odd_licences)
    heads = ["Release", "Why", "What it says", *(["Let in by"] if is_waived else [])]
    odd = table("odd", "Licences to look at", heads, (_odd_row(one)[: len(heads)] for one in dossier.odd_licences))
    counts = table(
        "counts", "Licences by count", ["Licence", "Releases", "Projects"], map(_count_row, dossier.licences)
    )
    to_look_at = joined([heading(f"To look at: {len(dossier.odd_licences)}"), odd]) if odd else NOTHING
    return joined([paragraph(note), to_look_at, heading("All"), counts])


def _odd_row(one: OddLicence) -> Sequence[Cell]:
    said = joined((markup("{}: {}", source, _line(text)) for source, text in one.said), "; ")
    by = one.waived
    return one.release, one.why, said, "" if by is None else f"{by.reason} (until {by.until}, {by.where})"


def _count_row(one: LicenceCount) -> Sequence[Cell]:
    return one.text, f"{one.releases:,}", named(one.projects)


def advisories(dossier: Dossier) -> Markup:
    """Return the advisories on what is there, with what fixes them and what lets them in."""
    if not dossier.advisories_from:
        return paragraph(joined([mark("not checked"), markup(" mirror.yaml names no advisories (policy.advisories).")]))
    note = paragraph(f"By {dossier.advisories_from}.")
    heads = ["Advisory", "Severity", "On", "Fixed in", "Judgement"]
    found = table("holes", "Advisories on what is in the mirror", heads, map(_hole_row, dossier.holes))
    return joined([note, found or paragraph("None is known on what is in the mirror.")])


def _hole_row(hole: Hole) -> Sequence[Cell]:
    match = hole.judgement.match
    aliases = f" {', '.join(match.aliases)}" if match.aliases else ""
    name = markup('{}<span class="note">{}</span> {}', match.id, aliases, _line(match.summary))
    told = markup('{} <span class="note">{}</span>', match.severity, match.severity_from)
    told = mark("malware", "bad") if match.is_malware else told
    fixed = ", ".join(match.fixed) or "no release that is known"
    return name, told, named(hole.releases), fixed, _judged(hole.judgement)


def _judged(judgement: Judgement) -> Cell:
    waiver = judgement.waiver
    if waiver is not None:
        return f"let in until {waiver.until}: {waiver.reason} ({waiver.where})"
    return mark("refused", "bad") if judgement.verdict == "refused" else "reported: less than what the policy refuses"


def exceptions(dossier: Dossier) -> Markup:
    """Return the exceptions of the policy, with their ends."""
    heads = ["Exception", "Reason", "Ends on", "Lets in", "Where"]
    found = table("exceptions", "Exceptions of the policy", heads, map(_exception_row, dossier.exceptions))
    return found or paragraph("There are none.")


def _exception_row(one: UsedException) -> Sequence[Cell]:
    ends = one.waiver.until.isoformat()
    until = markup("{} {}", ends, mark("soon")) if one.state == "ends soon" else ends
    lets_in: Cell = named(one.releases) or mark("nothing any more: take it out")
    return one.what, one.waiver.reason, until, lets_in, one.waiver.where


def refused(dossier: Dossier) -> Markup:
    """Return the rules of the policy, and what it kept out."""
    if dossier.policy is None:
        return paragraph("There is no policy.")
    rules = table("rules", "The rules of the policy", ["Rule", "What it says"], rules_in_words(dossier.policy))
    note = "Releases that would have been taken, being newer than those that are here."
    heads = ["Project", "Releases", "Environments", "Why"]
    rows = [(one.project, _range(one.versions), ", ".join(one.environments), one.reason) for one in dossier.refused]
    found = table("refused", "Releases that the policy kept out", heads, rows)
    kept_out = [paragraph(note, "note"), found] if found else [paragraph("Nothing that would have been taken.")]
    return joined([rules, *kept_out])


def unchecked(dossier: Dossier) -> Markup:
    """Return what could not be checked."""
    return items(dossier.unchecked) or paragraph("Everything that is asked for was checked.")


def releases(dossier: Dossier) -> Markup:
    """Return all releases."""
    heads = ["Release", "Licence", "Size", "Environments", "Asked for by"]
    rows = [
        (
            one.name,
            shown(one.licence),
            _size(one.size),
            ", ".join(one.environments) or "kept for locks",
            joined(map(code, one.asked_by[:_MOST_NAMED]), ", ") if one.asked_by else "",
        )
        for one in dossier.components
    ]
    found = table("releases", "All releases in the mirror", heads, rows)
    return found or paragraph("There are none.")


def documents(dossier: Dossier, others: Sequence[tuple[str, str]]) -> Markup:
    """Return what lies beside the page, and of what all of it is."""
    judged, name = dossier.plan.judged, partial(markup, '<a href="{0}">{0}</a>')
    rows: list[Sequence[Cell]] = [(name(path), what) for path, what in others]
    digests = [("The plan: every file of the mirror with its SHA-256", dossier.plan_digest)]
    if judged is not None:
        digests.append(("The policy", judged.policy))
    listed = table("documents", "The other files of this report", ["File", "What it is"], rows)
    sums = table(
        "digests", "What this page is of", ["What this page is of", "SHA-256"], [(a, code(b)) for a, b in digests]
    )
    return joined([listed, sums])


def signatures() -> Markup:
    """Return the field for signatures."""
    note = markup(
        "What is signed for is the mirror of this plan. {} notes the same in approved.json, by digests.",
        code("doit approve --by NAME"),
    )
    empty: Sequence[Cell] = ("", "", "", "")
    rows = [(who, *empty) for who in ("Prepared by", "Checked by", "Approved by")]
    return joined(
        [
            paragraph(note, "note"),
            table("signatures", "Signatures", ["Role", "Name", "Date", "Signature", "Note"], rows),
        ]
    )


def named(names: Sequence[str]) -> str:
    """Return names in a row, the first few."""
    more = f" and {len(names) - _MOST_NAMED} more" if names[_MOST_NAMED:] else ""
    return f"{', '.join(names[:_MOST_NAMED])}{more}"


def _range(versions: Sequence[str]) -> str:
    return ", ".join(versions) if len(versions) < 4 else f"{versions[0]} to {versions[-1]} ({len(versions)} releases)"


def _codes(lines: Sequence[str]) -> Markup:
    return joined(map(code, lines), ", ")


def _line(text: str) -> str:
    """Return foreign text as one line that is not too long."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _size(size: int) -> str:
    return readable(size).replace(" ", "\N{NO-BREAK SPACE}")
