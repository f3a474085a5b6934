"""Who approved of a mirror: of which state of it, by which report, under which policy; and what changed since."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from mirror_tasks.config.model import Config
from mirror_tasks.config.policy import policy_digest
from mirror_tasks.errors import ResolutionError
from mirror_tasks.files import read_or_none, sealed, sha256_of_bytes, to_json, unsealed, write_if_changed
from mirror_tasks.prove.proven import sums_digest
from mirror_tasks.report.documents import APPROVED
from mirror_tasks.report.folder import digest_in, folder_of
from mirror_tasks.state.mirror import Mirror

FORMAT = 1
_LONGEST_NAME, _LONGEST_NOTE = 200, 4000  # characters


@dataclass(frozen=True, slots=True)
class Subject:
    """What is approved of, each as a SHA-256; None for what there is not.

    :param mirror: of ``SHA256SUMS`` of the mirror.
    :param report: of ``SHA256SUMS`` of the report; None as well where it was altered.
    :param policy: of all that the policy says.
    """

    mirror: str | None
    report: str | None
    policy: str | None
    plan: str | None


@dataclass(frozen=True, slots=True)
class Approval:
    """That somebody approved.

    :param at: when (UTC), as ``2026-11-26T12:00:00Z``.
    """

    by: str
    at: str
    note: str
    subject: Subject

    def to_bytes(self) -> bytes:
        """Return it as ``approved.json``."""
        return to_json({"format": FORMAT, "by": self.by, "at": self.at, "note": self.note, **asdict(self.subject)})


def subject(mirror: Mirror) -> Subject:
    """Return what there is to be approved of now."""
    policy, plan = mirror.config.policy, read_or_none(mirror.records.published)
    return Subject(
        mirror=sums_digest(mirror.output),
        report=digest_in(folder_of(mirror.config)),
        policy=None if policy is None else policy_digest(policy),
        plan=None if plan is None else sha256_of_bytes(plan),
    )


def keep_written(state: Path, report: str, plan: str, policy: str | None) -> None:
    """Remember of which plan a report is that was written, each told by its digest."""
    write_if_changed(_written(state), sealed({"report": report, "plan": plan, "policy": policy}))


def approve(mirror: Mirror, by: str, note: str, at: str) -> Approval:
    """Note that somebody approves of the mirror as it stands, by the report that was written of it.

    :raises ResolutionError: there is nothing to approve of, or nobody who does.
    """
    _check_words(by, note)
    now = subject(mirror)
    _check(mirror, now)
    approval = Approval(by, at, note, now)
    content = approval.to_bytes()
    for path in places(mirror.config):
        write_if_changed(path, content)
    return approval


def places(config: Config) -> tuple[Path, Path]:
    """Return where ``approved.json`` stands: in the state, which counts, and for people beside the report."""
    return config.state / "report" / APPROVED, folder_of(config) / APPROVED


def _written(state: Path) -> Path:
    return state / "report" / "written.json"


def _check_words(by: str, note: str) -> None:
    if not by.strip() or len(by) > _LONGEST_NAME or not by.isprintable():
        problem = f"expected a name of at most {_LONGEST_NAME} characters, found {by[:50]!r}"
        raise ResolutionError("approving", "--by", problem, 'Say who, such as `doit approve --by "A. Person"`.')
    if not _is_text(note):
        problem = f"expected text, found {note[:50]!r}"
        raise ResolutionError("approving", "--note", problem, "Say it in a terminal whose encoding is UTF-8.")
    if len(note) > _LONGEST_NOTE:
        problem = f"expected at most {_LONGEST_NOTE} characters, found {len(note)}"
        raise ResolutionError("approving", "--note", problem, "Say it in fewer.")


def _is_text(words: str) -> bool:
    """Say if words of the command line are text, and not bytes that are none in the encoding of the terminal."""
    try:
        words.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check(mirror: Mirror, now: Subject) -> None:
    """Look if the report is that of the mirror, and the mirror that of the policy.

    :raises ResolutionError: it is not.
    """
    problem, advice = _lack(mirror, now)
    if problem:
        raise ResolutionError("approving of", str(mirror.output), problem, advice)


def _lack(mirror: Mirror, now: Subject) -> tuple[str, str]:
    """Return what keeps the mirror from being approved of, and what to do; nothing where nothing does."""
    if now.mirror is None or now.plan is None:
        return "expected a whole mirror, found none", "Run `doit mirror report`, read the report, then approve."
    if not is_of_its_policy(mirror):
        return "the policy changed since it was made", "Run `doit mirror report`, read the report, then approve."
    if now.report is None:
        return "expected its report as it was written, found none", "Run `doit report`, read it, then approve."
    if mirror.config.report == "mirror" and digest_in(mirror.output / "report") != now.report:
        return "the report in it is another one than that beside it", "Run `doit mirror report`, read it, then approve."
    if _report_of(mirror, now.report) != (now.plan, now.policy):
        return "the report is of another state of it", "Run `doit report`, read it, then approve."
    return "", ""


def is_of_its_policy(mirror: Mirror) -> bool:
    """Say if the mirror was made by the policy that mirror.yaml has now."""
    policy, plan = mirror.config.policy, mirror.plans.published()
    if policy is None:
        return plan is not None
    return plan is not None and plan.judged is not None and plan.judged.policy == policy_digest(policy)


def check_policy(mirror: Mirror, doing: str, advice: str) -> None:
    """Look if the mirror has nothing that the policy refuses by now: what it was made by tells.

    :param doing: what it is looked at for, in the words of an error; ``advice`` says there what to do.
    :raises ResolutionError: the policy changed since.
    """
    if mirror.config.policy is not None and not is_of_its_policy(mirror):
        name = mirror.config.path.name
        problem = f"expected a mirror that was made by the policy of {name}, found that this changed since"
        raise ResolutionError(doing, str(mirror.output), problem, advice)


def _report_of(mirror: Mirror, report: str) -> tuple[str, str | None] | None:
    """Return the plan and the policy of the report that was written last, if it is this one."""
    try:
        kept = unsealed(read_or_none(_written(mirror.config.state)) or b"")
    except ValueError:
        return None
    return (kept["plan"], kept["policy"]) if kept["report"] == report else None


@dataclass(frozen=True, slots=True)
class Approved:
    """What is known of an approval when a bundle is made.

    :param report: the SHA-256 of the report, if it is of the mirror as it stands.
    :param approval: that of ``approved.json``, if it is of the mirror as it stands.
    """

    report: str | None
    approval: str | None


def approved(mirror: Mirror) -> Approved:
    """Return who approved of the mirror as it stands.

    :raises ResolutionError: nobody did, and the policy says that somebody has to.
    """
    now, content = subject(mirror), read_or_none(places(mirror.config)[0])
    approval = _read(content)
    changes = ["nobody approved of it"] if approval is None else list(_changes(approval.subject, now))
    if changes and mirror.config.policy is not None and mirror.config.policy.approval_required:
        raise _refusal(mirror, approval, changes)
    is_of_it = now.report is not None and _report_of(mirror, now.report) == (now.plan, now.policy)
    digest = None if content is None or changes else sha256_of_bytes(content)
    return Approved(now.report if is_of_it else None, digest)


def _read(content: bytes | None) -> Approval | None:
    """Return what ``approved.json`` says; None where there is none, or none that can be read."""
    try:
        data = json.loads(content or b"")
        digests = [data[field.name] for field in fields(Subject)]
        if data["format"] != FORMAT or not all(one is None or isinstance(one, str) for one in digests):
            return None
        return Approval(str(data["by"]), str(data["at"]), str(data["note"]), Subject(*digests))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _changes(before: Subject, now: Subject) -> Iterator[str]:
    """Yield what is not as it was approved of, a line each."""
    for name in ("mirror", "report", "policy"):
        was, is_now = getattr(before, name), getattr(now, name)
        if was != is_now:
            yield f"the {name} was {_shown(was)}, and is {_shown(is_now)}"
    if now.mirror is None or now.report is None:
        yield "there is no whole mirror with a whole report"


def _shown(digest: str | None) -> str:
    return f"{digest[:16]}…" if digest else "none that is whole"


def _refusal(mirror: Mirror, approval: Approval | None, changes: list[str]) -> ResolutionError:
    problem = "policy.approval is required, and nobody approved of it"
    if approval is not None:
        lines = "".join(f"\n  {line}" for line in changes)
        problem = f"policy.approval is required, and since {approval.by} approved of it on {approval.at}:{lines}"
    remade = "" if is_of_its_policy(mirror) else "mirror "
    advice = f"Run `doit {remade}report`, read the report, then `doit approve --by NAME`."
    return ResolutionError("bundling", str(mirror.output), problem, advice)
