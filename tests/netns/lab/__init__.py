"""The namespace lab: everything that a test needs to watch a transparent proxy at work.

    isolation    one outer set of namespaces for a run, so that nothing outlives it
    kernel       the few system calls that Python has no name for
    namespace    a network namespace: sockets, commands and sysctls inside it
    topology     hosts and links: `inline`, `asymmetric`
    walkthrough  the published walk-through's own text, read from fixtures/walkthrough
    recipe       what makes a host divert packets to a proxy: rules, routes, sysctls
    capture      packets on a link: the second witness
    hosts        the client and the server, as a test sees them
    flow         one connection through the proxy, seen from both ends and on the wire
    proxy        the implementation under test, started through its adapter
    evidence     what is kept of a failed test
    requirements the catalogue in fixtures/requirements.toml
    lab          all of these put together for one test

Nothing here knows any implementation by name: an implementation is an executable adapter.
"""
