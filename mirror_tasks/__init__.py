"""Mirror the Python packages that your environments need, prove that they install, and serve them without the Internet.

Read the folders in the order of the data: config, index, archives, resolve, state, work, publish, prove, report, tasks.
CONTRIBUTING.md says what lives in each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mirror_tasks.tasks import pipeline

__all__ = ["pipeline"]


def __getattr__(name: str) -> Any:
    """Import the tasks when a ``dodo.py`` asks for them: a command of doit that has no mirror needs nothing of it."""
    if name != "pipeline":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mirror_tasks import interruption

    interruption.is_quiet_while_doit_begins()  # before all that takes time to be imported
    from mirror_tasks.tasks import pipeline

    return pipeline
