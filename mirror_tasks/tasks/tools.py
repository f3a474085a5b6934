"""What works for the tasks of one mirror; who needs it gets it from the :mod:`.workshop`."""

from __future__ import annotations

import os

from mirror_tasks.index.client import Upstream
from mirror_tasks.publish.publisher import Publisher
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.tasks.plan_teller import PlanTeller
from mirror_tasks.tasks.report_inside import ReportInside
from mirror_tasks.tasks.tally import Tally
from mirror_tasks.work.acquire import Acquirer
from mirror_tasks.work.processes import RECEIVING


class Tools:
    """What fetches, reads, tells and publishes.

    :ivar teller: tells of the plan of a run.
    :ivar inside: the report in the mirror.
    """

    def __init__(self, mirror: Mirror, tally: Tally) -> None:
        config = mirror.config
        self.upstream = Upstream(config.indexes, own=config.own_urls, connections=max(16, config.workers))
        checks_room = os.environ.get("MIRROR_SPACE") != "any"
        self.acquire = Acquirer(mirror, self.upstream, tally.received, checks_room=checks_room)
        self.publisher = Publisher(mirror, RECEIVING.call)
        self.inside = ReportInside(mirror, self.acquire.provenance, self.publisher)
        self.teller = PlanTeller(mirror, self.acquire)
