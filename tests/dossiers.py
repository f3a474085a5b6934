"""A dossier that has something in each of its parts, for tests of the page and of what programs are told."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any

from mirror_tasks.config.policy import AdvisoryRule, LicenceRule, Policy, ProjectPattern, RuleName, Waiver
from mirror_tasks.policy.advisories import Match
from mirror_tasks.policy.licences import Licence
from mirror_tasks.report.changes import Base, compare
from mirror_tasks.report.components import Component, components
from mirror_tasks.report.dossier import Dossier, known
from mirror_tasks.report.snapshot import Finding, snapshot
from mirror_tasks.resolve.plan import Judged, PassedOver, Plan, Waived
from tests.components_world import BOTH, planned
from tests.plans import without

EVIL = '<script>alert(1)</script>"><img src=x onerror=alert(1)>\x1b[31m\u202e'
WORLD: dict[str, Any] = {
    "environments": BOTH,
    "requirements": ["app", "tool>=1", {"file": "lab.txt"}],
    "texts": {"lab.txt": "client\nserver<2\n"},
    "index": {
        "app": {"2": {"requires": ["lib>=1"], "files": ["py3-none-any", "sdist"]}, "1": {}},
        "lib": {"3": {}, "2": {}},
        "tool": {"1": {"requires": ["lib"]}},
        "client": {"1": {"requires": ["server>=0.5"]}},
        "server": {"2": {}, "1": {}},
    },
}
HIGH = Match("GHSA-high", ("CVE-2026-1", "PYSEC-2026-1"), "high", "CVSS 3.1: 7.5", False, "reads too much", ("3.1",))
LOW = Match("GHSA-low", (), "low", "its database", False, EVIL, ())
MALWARE = Match("MAL-2026-1", (), "critical", "malware", True, "steals", ())
NEW = Match("GHSA-new", (), "critical", "CVSS 4.0: 9.3", False, "known since", ("2",))


def waiver(rule: RuleName, name: str = "", *, advisory: str = "", until: str = "2027-03-31", number: int = 0) -> Waiver:
    pattern = ProjectPattern(name, "", name) if name else None
    where = f"mirror.yaml: policy.except[{number}]"
    return Waiver(pattern, rule, advisory, f"not reachable here {EVIL}", datetime.date.fromisoformat(until), where)


POLICY = Policy(
    licences=LicenceRule(frozenset(["MIT"]), "refuse"),
    advisories=AdvisoryRule(None, "osv/all.zip", "high", "refuse", "report"),
    exceptions=(
        waiver("advisories", advisory="GHSA-high", number=0),
        waiver("licences", "client", until="2026-11-30", number=1),
        waiver("cooldown", "gone", number=2),
    ),
    said={"licences": {"allow": ["MIT"]}},
)
MIT = Licence("MIT", "License-Expression", (("License-Expression", "MIT"),), "")
GPL = Licence("GPL-3.0-only", "License-Expression", (("License-Expression", "GPL-3.0-only"),), "")
ODD = Licence(None, "", (("License", EVIL),), "nothing that it says is a licence")
SAID = {
    "app": (MIT, (HIGH, LOW)),
    "lib": (ODD, (MALWARE,)),
    "client": (GPL, ()),
    "server": (MIT, None),
    "tool": (MIT, (NEW,)),
}


def plan_of_policy(plan: Plan) -> Plan:
    client = next(file for file in plan.files if file.project == "client")
    lib = next(file for file in plan.files if file.project == "app")
    waived = [
        Waived("app", "2", lib.filename, "advisories", str(HIGH), "GHSA-high", "not reachable", "2027-03-31",
               "mirror.yaml: policy.except[0]"),
        Waived("client", "1", client.filename, "licences", "licences: GPL-3.0-only is not allowed", "", "asked", "2026-11-30",
               "mirror.yaml: policy.except[1]"),
    ]  # fmt: skip
    passed = [
        PassedOver(
            "lib",
            "4",
            ("linux",),
            "lib-4-py3-none-any.whl: cooldown: 14d, and it was uploaded on 2026-11-25",
            "cooldown",
        ),
        PassedOver(
            "lib",
            "10",
            ("windows",),
            "lib-10-py3-none-any.whl: cooldown: 14d, and it was uploaded on 2026-11-26",
            "cooldown",
        ),
        PassedOver("lib", "11", ("linux",), "lib-11-py3-none-any.whl: licence GPL-3.0-only is not allowed", "licences"),
        PassedOver(
            "app",
            "3",
            ("linux",),
            "app-3-py3-none-any.whl and 1 more: advisory GHSA-x (high): fixed in 4",
            "advisories",
        ),
        PassedOver(
            "server", "2", ("linux",), "server-2-py3-none-any.whl: its metadata can't be read: cooldown: no field"
        ),
    ]
    judged = Judged("2026-11-26", "ab" * 32)
    return replace(plan, judged=judged, waived=tuple(waived), passed_over=tuple(passed))


def with_said(component: Component) -> Component:
    licence, matches = SAID[component.project]
    return replace(component, licence=licence, matches=matches)


def dossier(folder: Path) -> Dossier:
    """Return it: against a plan without ``client``, in which ``lib`` had another licence."""
    mirror, plain = planned(WORLD, folder)
    plan = plan_of_policy(plain)
    made_of = tuple(map(with_said, components(mirror, plan, None)))
    before = snapshot(
        without(plain, "client"),
        {("lib", "3"): "MIT", ("app", "2"): "MIT"},
        {("app", "2"): (Finding("GHSA-gone", "low"),)},
    )
    changes = compare(Base("inside", "bundle main-3, which was marked as sent", before), known(plan, made_of))
    config = replace(mirror.config, policy=POLICY)
    return Dossier(config, plan, made_of, changes, "osv/all.zip: 20,013 records", ("app: the publisher changed",))
