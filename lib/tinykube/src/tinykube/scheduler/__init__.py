"""The scheduler: binds pods to nodes as Kubernetes' own does, by the same rules and words.

Everything but `loop` is pure: `requirements` reads what a pod asks for, `cluster` keeps the books,
`filters` says why a node will not do, `scores` which of those that will is best, `preemption` who
would have to go.
"""

from tinykube.scheduler.loop import Scheduler

__all__ = ["Scheduler"]
