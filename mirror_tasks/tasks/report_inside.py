"""The report in the mirror itself (`report: mirror`): made before the manifest, which names it, and only where it may differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mirror_tasks.config.policy import policy_digest
from mirror_tasks.files import read_or_none, sealed, sha256_of_bytes, to_json, unsealed, write_if_changed
from mirror_tasks.publish.pages import made_by
from mirror_tasks.publish.published import digest_as_made
from mirror_tasks.publish.publisher import Publisher
from mirror_tasks.resolve.plan import Plan
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.work.provenance import Provenance


class ReportInside:
    """The report of one mirror, as it stands in it.

    :ivar paths: where its files stand, once it was published.
    """

    def __init__(self, mirror: Mirror, provenance: Provenance, publisher: Publisher) -> None:
        self._mirror = mirror
        self._provenance = provenance
        self._publisher = publisher
        self._kept = mirror.config.state / "report" / "inside.json"
        self.paths: Sequence[Path] = ()

    def publish(self, plan: Plan) -> None:
        """Put the report of a plan into the mirror, whose files all stand there.

        :raises MirrorError: what earlier reports saw can't be read.
        """
        self._ask_who_published(plan)
        made_from = self._made_from(plan)
        if not self._stands(made_from):
            self._make(plan)
            self._keep(self._made_from(plan))  # what the report itself keeps is among it

    def _ask_who_published(self, plan: Plan) -> None:
        due = [one for one in plan.published if one.file.provenance and not self._provenance.is_known(one)]
        if due:
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(self._mirror.config.workers) as pool:
                list(pool.map(self._provenance.fetch, due))

    def _made_from(self, plan: Plan) -> str:
        """Return a digest of all that a report is made from, beside the files that the plan names by their hashes."""
        config, state = self._mirror.config, self._mirror.config.state
        known = self._mirror.advisories.known
        kept = (state / "report" / "compared.json", state / "publishers.json")
        parts = [
            made_by(),
            plan.digest,
            policy_digest(config.policy) if config.policy else "",
            known.digest if known else "",
            *(sha256_of_bytes(read_or_none(path) or b"") for path in kept),
            *sorted(self._provenance.problems),
            *(f"{root.name} {root.key_path}" for root in config.roots),
        ]
        return sha256_of_bytes(to_json(parts))

    def _stands(self, made_from: str) -> bool:
        """Say if the report stands in the mirror that would be made; what an index says of advisories is always asked anew."""
        known = self._mirror.advisories.known
        try:
            kept = unsealed(read_or_none(self._kept) or b"")
        except ValueError:
            return False
        self.paths = [self._mirror.output / path for path in kept["paths"]]
        is_the_same = kept["made_from"] == made_from and (known is None or known.digest != "")
        return is_the_same and digest_as_made(self._mirror, self.paths) is not None

    def _make(self, plan: Plan) -> None:
        # Only now: where there is nothing to be made, none of it is needed.
        from mirror_tasks.tasks.dossiers import Gatherer

        gatherer = Gatherer(self._mirror, self._provenance.problems)
        report = gatherer.report(plan, None)
        self.paths = self._publisher.publish_report(report.files)
        gatherer.keep(report)

    def _keep(self, made_from: str) -> None:
        paths = [self._mirror.relative(path) for path in self.paths]
        write_if_changed(self._kept, sealed({"made_from": made_from, "paths": paths}))
