"""The SBOM of a mirror: CycloneDX 1.6, made with ``cyclonedx-python-lib``.

One document has all that is in the mirror, and one more for each environment has what is for that one: in a document a
component has one list of what it depends on, and that differs between environments. Nothing in it hangs on when or where
it was made.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mirror_tasks.errors import MirrorError
from mirror_tasks.files import sha256_of_bytes, to_json
from mirror_tasks.report.carried_sboms import CarriedSboms
from mirror_tasks.report.components import Component
from mirror_tasks.report.sbom_subject import ALL, Subject
from mirror_tasks.resolve.plan import Plan


class MissingLibraryError(MirrorError):
    """A library is not installed that only this needs."""


def sboms(
    components: Sequence[Component], plan: Plan, carried: CarriedSboms, *, mirror: str, source: str
) -> Mapping[str, bytes]:
    """Return the SBOM of a mirror and those of its environments, by their names.

    :param mirror: the name of the mirror.
    :param source: of the advisories, in words; empty: none were looked at.
    :raises MissingLibraryError: ``cyclonedx-python-lib`` is not installed.
    """
    try:
        from mirror_tasks.report.sbom_document import Documents
    except ModuleNotFoundError as error:
        raise MissingLibraryError(
            "making",
            ALL,
            f"expected the library cyclonedx-python-lib, found that {error.name} is not installed",
            "Install it beside this project: pip install 'mirror-tasks[report]'.",
        ) from error
    documents = Documents(components, plan.waived, carried)
    return {one.document: _finished(documents.document(one), one) for one in _subjects(plan, mirror, source)}


def _subjects(plan: Plan, mirror: str, source: str) -> Iterator[Subject]:
    environments = tuple(str(one["name"]) for one in plan.environments)
    day = plan.judged.as_of if plan.judged else ""
    for name in (None, *environments):
        yield Subject(mirror=mirror, environments=environments, environment=name, day=day, source=source)


def _finished(made: Mapping[str, Any], subject: Subject) -> bytes:
    """Return a document as bytes, with a serial number that follows from all the rest."""
    content = {**made}
    if not subject.day:  # the library puts in when it was run
        content["metadata"] = {key: value for key, value in made["metadata"].items() if key != "timestamp"}
    serial = uuid.uuid5(uuid.NAMESPACE_OID, sha256_of_bytes(to_json({**content, "serialNumber": ""})))
    return to_json({**content, "serialNumber": serial.urn})
