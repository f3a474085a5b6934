"""A report is gathered: the dossier of a mirror, with what it is compared with, and the documents of which it consists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mirror_tasks.errors import AdvisoryError, ResolutionError, StorageError, in_words
from mirror_tasks.policy.advisories import Advisories
from mirror_tasks.prove.proven import sums_digest
from mirror_tasks.report.advisories import advisories_json
from mirror_tasks.report.carried_sboms import carried_sboms
from mirror_tasks.report.changes import Base, Changes, compare
from mirror_tasks.report.comparing import Comparing
from mirror_tasks.report.components import Component, components
from mirror_tasks.report.documents import documents
from mirror_tasks.report.dossier import Dossier, known
from mirror_tasks.report.packages_csv import packages_csv
from mirror_tasks.report.provenance import Provenances, keep_publishers, provenance_json, provenances
from mirror_tasks.report.sbom import MissingLibraryError, sboms
from mirror_tasks.report.snapshot import Snapshot
from mirror_tasks.resolve.plan import Plan
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.transfer.insides import inside

_MOST_BYTES = 512 << 20  # of a plan; one of 50,000 files has 30 MB


@dataclass(frozen=True, slots=True)
class Report:
    """A report that is not written yet.

    :param files: by path.
    :param snapshot: what later reports are compared with; ``published`` likewise: who published.
    :param lacks: what could not be made or read, and why; a line each.
    """

    dossier: Dossier
    files: Mapping[str, bytes]
    snapshot: Snapshot
    published: Provenances
    lacks: tuple[str, ...]


class Gatherer:
    """Gathers what is reported of one mirror; asks no index.

    :param problems: why it could not be asked who published a file, by its SHA-256.
    """

    def __init__(self, mirror: Mirror, problems: Mapping[str, str] | None = None) -> None:
        self._mirror = mirror
        self._problems = problems or {}
        self._known = mirror.advisories
        self._comparing = Comparing(mirror.config.state)
        self._lacks: list[str] = []

    def published_plan(self, doing: str) -> Plan:
        """Return the plan by which the mirror is whole.

        :param doing: what it is read for, in the words of an error.
        :raises ResolutionError: there is none.
        """
        is_whole = sums_digest(self._mirror.output) is not None
        plan = self._mirror.plans.published() if is_whole else None
        return self._plan(plan, doing, "a whole mirror", "mirror")

    def newest_plan(self, doing: str) -> Plan:
        """Return the plan that was made last.

        :raises ResolutionError: there is none.
        """
        return self._plan(self._mirror.plans.last(), doing, "a plan", "plan")

    def _plan(self, plan: Plan | None, doing: str, expected: str, verb: str) -> Plan:
        if plan is None:
            where = str(self._mirror.config.path)
            raise ResolutionError(doing, where, f"expected {expected}, found none", f"Run `doit {verb}` first.")
        return plan

    def changes(self, plan: Plan, since: Path | None) -> Changes:
        """Return what a plan changes.

        What is inside is asked for as it is now. A report of the same is compared with the same again, so that it has the same
        bytes; who asks what changes wants to know what will be new there.

        :param since: an earlier plan; None: it is compared with what is inside, else with the last report.
        :raises MirrorError: there is no such plan.
        """
        after = known(plan, self._components(plan))
        base = self._named(since) if since else self._inside() or self._comparing.base(after, lambda: None)
        return compare(base, after)

    def report(self, plan: Plan, since: Path | None) -> Report:
        """Return the report of a mirror that is as its plan says.

        :param since: an earlier plan; None: it is compared with what a report of the same was compared with, else with what is
            inside, else with the last report.
        :raises MirrorError: there is no such plan.
        """
        made_of = self._components(plan)
        changes, snapshot = self._compared(plan, made_of, since)
        published = provenances(self._mirror, plan, self._problems)
        dossier = Dossier(
            config=self._mirror.config,
            plan=plan,
            components=made_of,
            changes=changes,
            advisories_from=_in_words(self._advisories),
            origins=published.to_look_at,
            origins_unchecked=published.open_questions,
            advisories_newest=self._advisories.newest if self._advisories and self._advisories.records else "",
        )
        others = {
            "packages.csv": packages_csv(made_of),
            "advisories.json": advisories_json(made_of, self._mirror.config.policy, self._advisories),
            "provenance.json": provenance_json(published),
            **self._sboms(plan, made_of),
        }
        files = documents(dossier, others, style_beside=self._mirror.config.report == "mirror")
        return Report(dossier, files, snapshot, published, tuple(self._lacks))

    def _sboms(self, plan: Plan, made_of: Sequence[Component]) -> Mapping[str, bytes]:
        """Return the SBOMs of the mirror and those that its wheels carry; without the library that makes them, these alone."""
        carried = carried_sboms(self._mirror, (file for one in made_of for file in one.files))
        self._lacks += [f"the SBOMs in {name} can't be read: {why}" for name, why in carried.problems.items()]
        name, source = self._mirror.output.name, _in_words(self._advisories)
        try:
            made = sboms(made_of, plan, carried, mirror=name, source=source)
        except MissingLibraryError as error:
            self._lacks.append(str(error))
            made = {}
        return {**made, **carried.files}

    def keep(self, report: Report) -> None:
        """Remember a report that was written: later ones are compared with it."""
        self._comparing.keep(report.snapshot, report.dossier.changes.base)
        keep_publishers(self._mirror, report.published)

    def _components(self, plan: Plan) -> tuple[Component, ...]:
        self._update()
        return components(self._mirror, plan, self._advisories)

    @property
    def _advisories(self) -> Advisories | None:
        return self._known.known

    def _update(self) -> None:
        """Read the dump that the policy names; where it is gone, what was read of it before counts."""
        if self._known.dump is None:
            return
        try:
            self._known.update()
        except (AdvisoryError, OSError) as error:
            self._lacks.append(f"advisories: as they were read last; {error}")

    def _compared(self, plan: Plan, made_of: tuple[Component, ...], since: Path | None) -> tuple[Changes, Snapshot]:
        after = known(plan, made_of)
        base = self._named(since) if since else self._comparing.base(after, self._inside)
        return compare(base, after), after

    def _inside(self) -> Base | None:
        return inside(self._mirror, self._mirror.config.transfer)

    def _named(self, since: Path) -> Base:
        plan = read_plan(since)
        return Base("plan", since.name, known(plan, components(self._mirror, plan, self._advisories)))


def read_plan(path: Path) -> Plan:
    """Read an earlier plan.

    :raises MirrorError: there is none.
    """
    try:
        with path.open("rb") as stream:
            # Of a longer one, the hash in its second line is not that of the rest.
            return Plan.from_bytes(stream.read(_MOST_BYTES))
    except OSError as error:
        raise in_words(error, "comparing with", path) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        problem = f"expected a plan that this version of mirror-tasks wrote, found something else ({error})"
        advice = "Name a copy of .mirror/plan.json or .mirror/published.json, or leave --since out."
        raise StorageError("comparing with", str(path), problem, advice) from None


def _in_words(advisories: Advisories | None) -> str:
    if advisories is None:
        return ""
    if not advisories.records:
        return "what the index says of each release"
    newest = f", the newest of {advisories.newest[:10]}" if advisories.newest else ""
    shown = Path(advisories.shown)
    name = shown.name if shown.is_absolute() else advisories.shown  # a path of this machine says nothing elsewhere
    return f"{name}: {advisories.records:,} records{newest}, sha256 {advisories.digest}"
