"""The tasks of the mirror that ``mirror.yaml`` describes; `doit list` shows them."""

from mirror_tasks import pipeline

globals().update(pipeline())
