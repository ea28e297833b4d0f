"""Rules of a scenario: which clients are served, and by which server."""

import ipaddress


class Rule:
    def __init__(self, fields):
        self.action, self.server = fields["action"], fields.get("server")
        self.sources = networks(fields.get("sources"))
        self.destinations = networks(fields.get("destinations"))
        self.ports = fields.get("ports")

    def applies(self, address, destination):
        return (
            contains(self.sources, address)
            and contains(self.destinations, destination)
            and (self.ports is None or destination[1] in self.ports)
        )


def networks(texts):
    """{prefix length with the family's: networks, as numbers}, or None for all."""
    if texts is None:
        return None
    found = {}
    for text in texts:
        network = ipaddress.ip_network(text, strict=False)
        found.setdefault((network.version, network.prefixlen), set()).add(int(network.network_address))
    return found


def contains(found, place):
    if found is None:
        return True
    address = ipaddress.ip_address(place[0].removeprefix("::ffff:"))
    for (version, bits), numbers in found.items():
        behind = address.max_prefixlen - bits
        if version == address.version and int(address) >> behind << behind in numbers:
            return True
    return False


def first(rules, actions, address, destination):
    """The first rule with one of the actions that applies, or None."""
    return next((rule for rule in rules if rule.action in actions and rule.applies(address, destination)), None)


def admits(rules, address, destination):
    rule = first(rules, ("accept", "reject"), address, destination)
    return rule is None or rule.action == "accept"
