"""Mirror the Python packages that your environments need, prove that they install, and serve them without the Internet.

Read the folders in the order of the data: config, index, archives, resolve, state, work, publish, prove, report, tasks.
CONTRIBUTING.md says what lives in each.
"""

from mirror_tasks import interruption

interruption.is_quiet_while_doit_begins()  # before all that takes time to be imported

from mirror_tasks.tasks import pipeline  # noqa: E402

__all__ = ["pipeline"]
