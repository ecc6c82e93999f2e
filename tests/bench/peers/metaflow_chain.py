"""Steps one after another in Metaflow, each a process as always there.

metaflow_chain.py run --max-workers 1 --length LENGTH
"""

from metaflow import FlowSpec, Parameter, step


class Chain(FlowSpec):
    """A foreach of which one iteration runs at a time."""

    length = Parameter("length", default=20, type=int)

    @step
    def start(self):
        self.each = list(range(self.length))
        self.next(self.nothing, foreach="each")

    @step
    def nothing(self):
        self.x = self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        self.last = max(each.x for each in inputs)
        self.next(self.end)

    @step
    def end(self):
        print(self.last)


if __name__ == "__main__":
    Chain()
