"""`python -m mirror_tasks.audit DIRECTORY --from DUMP`: what `doit audit` does, where there is no ``mirror.yaml``: inside.

It needs this project, which a mirror can bring like any other, the directory that is served, and a dump of advisories.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mirror_tasks.config import clock
from mirror_tasks.config.blocks import Block
from mirror_tasks.config.policy import SEVERITIES, AdvisoryRule, Policy
from mirror_tasks.config.policy_keys.reader import PolicyReader
from mirror_tasks.config.yaml_file import read_yaml
from mirror_tasks.errors import ConfigError, Fault, MirrorError, in_words
from mirror_tasks.policy.compiling import read_advisories
from mirror_tasks.report.audit import DEFAULT_RULE, audit, audit_json, audit_lines, check_audit, served
from mirror_tasks.text import let_output_have_any_text

_REFUSED = 1
_NOT_DONE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status: 1 where something is refused, 2 where it could not be judged."""
    given = _parser().parse_args(arguments)
    try:
        policy = _policy(given.policy) if given.policy else Policy()
        dump = Path(given.dump)
        rule = _rule(policy.advisories or DEFAULT_RULE, given.refuse)
        place = served(Path(given.directory))
        found = audit(place, read_advisories(dump, dump.name), rule, policy.exceptions)
    except OSError as error:
        return _told(in_words(error), _NOT_DONE)
    except MirrorError as error:
        return _told(error, _NOT_DONE)
    let_output_have_any_text()
    if given.format == "json":
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8", newline="\n")
        sys.stdout.write(audit_json(found).decode())
    else:
        sys.stdout.writelines(f"{line}\n" for line in audit_lines(found))
    try:
        check_audit(place, found)
    except MirrorError as error:
        return _told(error, _REFUSED)
    return 0


def _told(error: MirrorError, status: int) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"{error}\n")
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mirror_tasks.audit", description=__doc__)
    parser.add_argument("directory", help="the directory that server.py serves")
    parser.add_argument("--from", dest="dump", required=True, help="a dump of advisories: a zip or a folder")
    parser.add_argument(
        "--policy", help="a mirror.yaml, or a policy that several share: what is refused, and the exceptions"
    )
    parser.add_argument("--refuse", choices=[*SEVERITIES, "any"], help="the least severity that is refused (high)")
    parser.add_argument("--format", choices=["text", "json"], default="text", help="json: for programs")
    return parser


def _rule(rule: AdvisoryRule, refuse: str | None) -> AdvisoryRule:
    return rule if refuse is None else replace(rule, refuse=refuse)  # type: ignore[arg-type]  # argparse has the choices


def _is_lacking(fault: Fault) -> bool:
    """Say if a file of constraints is not here."""
    return fault.problem.startswith("no such file")


def _policy(name: str) -> Policy:
    """Read the policy alone: the rest of a ``mirror.yaml`` may name what is not here.

    :raises ConfigError: it can't be used.
    """
    path = Path(name)
    content = read_yaml(path)
    if not isinstance(content, dict) or "policy" not in content:
        content = {"policy": {"file": path.name}}
    faults: list[Fault] = []
    policy = PolicyReader(path, Block(content, "", faults), faults, clock.today()).policy()
    # The dump that it was written for may be elsewhere: another one is named. Constraints say nothing of advisories.
    faults = [one for one in faults if not one.key_path.endswith("advisories.from") and not _is_lacking(one)]
    if faults:
        raise ConfigError(path, faults)
    return policy or Policy()


if __name__ == "__main__":
    sys.exit(main())
