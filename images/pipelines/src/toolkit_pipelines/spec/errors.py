"""What is wrong with a pipeline spec, in words for the person who wrote it."""

from __future__ import annotations


class SpecError(ValueError):
    """The spec cannot be run as it stands.

    Attributes:
        where: the place in the document (`root.dag.tasks.train`), or "" for the whole of it.
        problem: what was found there and what to do.
    """

    def __init__(self, where: str, problem: str) -> None:
        self.where = where
        self.problem = problem
        super().__init__(f"{where}: {problem}" if where else problem)


class NotSupportedError(SpecError):
    """The spec is sound but uses a construct that this service does not run yet.

    Attributes:
        construct: the construct's name, as the message gives it.
    """

    def __init__(self, where: str, construct: str) -> None:
        self.construct = construct
        super().__init__(where, f"{construct} is not supported yet")
