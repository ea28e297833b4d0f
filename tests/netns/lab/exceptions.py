"""How a test ends that proves nothing: exceptions that are no failures of the proxy.

`conformance.verdict` says which verdict each of them becomes.
"""


class Absent(Exception):
    """The kernel or a tool lacks something. Raise it only after the operation itself was tried."""


class GuardFailed(Exception):
    """A precondition could not be shown, so nothing that the proxy does would prove anything."""


class Unsupported(Exception):
    """The adapter says that its implementation does not offer this.

    `needs` are capabilities that the test itself asked for, besides those of the scenario.
    """

    def __init__(self, text, needs=()):
        super().__init__(text)
        self.needs = tuple(needs)
