"""The same input gives the same bytes, in whichever order pages and metadata arrive."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mirror_tasks.resolve.closure import Closure
from mirror_tasks.resolve.completion import Completion
from mirror_tasks.resolve.excused import excused
from mirror_tasks.resolve.planning import make_plan
from tests import worlds
from tests.interpreters import share
from tests.random_worlds import World, delays, described, follow


def written(one: worlds.World, order: int) -> tuple[str, str]:
    """Return the plan and the solutions of a world, as they are written when answers arrive in an order."""
    delay = delays(order)
    closure = Closure(one.config.environments, one.config.roots, one.rules)
    follow(one, closure, closure.start(), delay)
    completion = Completion(closure, one.config.roots, one.rules, {})
    while wants := completion.step():
        follow(one, closure, wants, delay)
    assert not closure.bugs
    plan = make_plan(closure, completion, excused(one.config.roots, closure))
    return json.dumps(json.loads(plan.to_bytes()), indent=1), json.dumps(completion.solutions, sort_keys=True, indent=1)


# Each was written otherwise in some order: files, gaps and who has them, completions, what stands in the way of a root.
ODD = (50, 77, 153, 195, 346, 362, 505, 650, 680)


@pytest.mark.parametrize("seed", [*ODD, *share(range(6))])
def test_the_order_of_arrival_changes_nothing_that_is_written(seed: int, tmp_path: Path) -> None:
    made = worlds.world(described(seed), tmp_path)
    one = World(made.config, made.index)
    first = written(one, 0)
    for order in range(1, 7):
        assert written(one, order) == first
