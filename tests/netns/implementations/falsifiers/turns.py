"""A proxy that accepts all clients that wait, and begins their sessions at the end of the turn.

That is no defect. A falsifier overrides begin_all(), and mixes up the sessions of one turn.
"""

from base import Proxy


class ProxyInTurns(Proxy):
    def __init__(self, scenario, folder):
        super().__init__(scenario, folder)
        self.accepted = []

    def accept(self, listener):
        before = -1
        while before != len(self.sessions):
            before = len(self.sessions)
            super().accept(listener)

    def begin(self, session):
        self.accepted.append(session)

    def tend(self):
        self.begin_all(self.accepted)
        self.accepted = []
        super().tend()

    def begin_all(self, sessions):
        for session in sessions:
            super().begin(session)
