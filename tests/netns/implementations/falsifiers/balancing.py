"""Which of a scenario's servers a client comes to."""

import hashlib


class Balance:
    """The servers of a scenario; `connections` is how many each has, by address and port."""

    def __init__(self, scenario):
        self.kind = scenario.get("balance")
        self.servers = scenario["servers"]
        self.turn = 0
        self.down = set()  # the places of those that do not pass their check
        self.said_down, self.shares = set(), {}  # of places: what their agents have said

    def choose(self, client, connections, avoid=None):
        """A server for a client's address, or None; not the one to avoid, where there is another."""
        servers = self.usable()
        if self.kind != "source":
            servers = [each for each in servers if self.has_room(each, connections)]
        servers = [each for each in servers if place(each) != avoid] or servers
        servers = self.active(servers)
        if not servers:
            return None
        if self.kind == "leastconn":
            return self.least_busy(servers, connections)
        if self.kind == "source":
            server = self.of_client(servers, client)
            return server if self.has_room(server, connections) else None
        return self.next_in_turn(servers)

    def usable(self):
        return [each for each in self.servers if place(each) not in self.down and self.weight(each) > 0]

    def is_full(self, connections):
        """Whether there is a server, and only its place is missing."""
        return any(not self.has_room(each, connections) for each in self.usable())

    def active(self, servers):
        return [each for each in servers if not each.get("backup")] or servers

    def has_room(self, server, connections):
        return connections[place(server)] < server.get("maxconn", 1 << 31)

    def least_busy(self, servers, connections):
        return min(servers, key=lambda each: connections[place(each)] / self.weight(each))

    def of_client(self, servers, client):
        return max(servers, key=lambda each: hashlib.sha256(f"{client} {place(each)}".encode()).digest())

    def next_in_turn(self, servers):
        turns = [each for each in servers for _ in range(self.weight(each))]
        self.turn += 1
        return turns[(self.turn - 1) % len(turns)]

    def weight(self, server):
        return server.get("weight", 1) * self.shares.get(place(server), 100) // 100


def place(server):
    return server["address"], server["port"]
