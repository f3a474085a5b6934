"""What the judges say, and when it means that a mirror is not proven."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mirror_tasks.errors import ResolutionError
from mirror_tasks.files import fields_of


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one judge says of one root on one environment; ``reason`` is empty where it can be installed.

    :param pythons: the full versions that it was judged on.
    :param installer: for whom it was judged, where not for all.
    :param warnings: what is to be known of it all the same, a sentence each.
    """

    root: str
    environment: str
    judge: str
    reason: str
    pythons: tuple[str, ...] = ()
    installer: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def proven(self) -> bool:
        """It can be installed."""
        return not self.reason


def by_python(reasons: Mapping[str, str]) -> str:
    """Return each reason once, with the Pythons that it was found on unless it was on all."""
    pythons: dict[str, list[str]] = {}
    for python, reason in reasons.items():
        if reason:
            pythons.setdefault(reason, []).append(python)
    return "\n".join(
        reason if len(where) == len(reasons) else f"on Python {', '.join(where)}:\n{reason}"
        for reason, where in pythons.items()
    )


def as_json(verdicts: Sequence[Verdict]) -> list[Mapping[str, object]]:
    """Return the verdicts as ``prove.json`` has them, sorted."""
    ordered = sorted(verdicts, key=lambda one: (one.root, one.environment, one.judge))
    return [{**fields_of(one), "proven": one.proven} for one in ordered]


def check(verdicts: Sequence[Verdict], output: Path, one_sided: Collection[tuple[str, str, str]] = ()) -> None:
    """Refuse a mirror in which something was not proven.

    :param one_sided: roots, environments and installers of which the plan says that this installer can't install this
        root from upstream either, and another can: that is no fault of the mirror.
    :raises ResolutionError: some root can't be installed on some environment; says which, and why.
    """
    failed = [one for one in verdicts if not one.proven and (one.root, one.environment, one.installer) not in one_sided]
    if failed:
        lines = "".join(
            f"\n  {one.root} on {one.environment} ({one.judge}):\n    " + one.reason.replace("\n", "\n    ")
            for one in failed
        )
        raise ResolutionError(
            "proving", str(output), f"expected every requirement to install, found {len(failed)} that do not:{lines}",
            "Run `doit mirror` if the mirror is not of today's mirror.yaml; `doit explain NAME` tells what is there and why.",
        )  # fmt: skip
