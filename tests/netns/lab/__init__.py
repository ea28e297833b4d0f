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
    flood        clients that come faster than a proxy takes them
    proxy        the implementation under test, started through its adapter
    evidence     what is kept of a failed test
    requirements the catalogue in fixtures/requirements.toml
    lab          all of these put together for one test

and what makes verdicts and reports of it:

    capabilities what an implementation can claim, and which scenario needs what
    verdict      the rules by which an outcome becomes a verdict
    outcomes     pytest's side of them: every test's, as it comes
    deviations   failures that are known
    matrix       cells of requirement and implementation, and the exit status
    conductor    the suite on one implementation after another
    progress     what is seen of it; the summary
    surroundings kernel and tools of a run
    report       JSON, JUnit, Markdown, and the page made from report.html.template
    spec         docs/SPEC.md
    schema       as much of JSON Schema as fixtures/schema uses
    browser      Chromium, for the test of the page

Nothing here knows any implementation by name: an implementation is an executable adapter.
"""
