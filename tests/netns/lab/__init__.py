"""The namespace lab: all that a test needs to watch a transparent proxy at work, and what makes verdicts of it.

From the ground up; a module uses its own folder and those above it in this list:

    paths        the repository's folders, the programs under test, the run's private folder
    waiting      how a test waits for an event, and for how long
    exceptions   Absent, GuardFailed, Unsupported
    toml         reads TOML
    schema       the part of JSON Schema that fixtures/schema uses

    netns/       namespaces and what connects them
        isolation    one outer set of namespaces for a run, so that nothing of it stays
        kernel       the few system calls that Python has no name for
        namespace    a network namespace: sockets, commands and sysctls inside it
        endpoint     an address with a port; one end of a TCP connection
        drawn        numbers of hosts and ports: the walk-through's, or drawn for a test
        layouts      how hosts are connected, as data
        topology     hosts and links, made from a layout
        firewall     the firewall tools: load and save rules
        constants    numbers of socket options
        capture      packets on a link: the second witness
        hoststate    what decides about packets on a host: rules, routes, sysctls
        counters     what a host's kernel has counted

    peers/       clients, servers, proxies
        hosts        client, server and proxy host, as a test sees them
        flow         one connection through the proxy, seen from both ends and on the wire
        stream       long streams of bytes
        datagrams    UDP through the proxy
        dialect      raw bytes, HTTP or TLS: what a proxy speaks; http and tls are two of them
        ping         ICMP echo
        flood        clients that connect faster than a proxy accepts them
        description  runs `adapter describe`, and holds it to its schema
        proxy        the implementation under test, started through its adapter
        proxy_protocol  PROXY protocol headers
        daemon       tproxyd by itself, for what only tproxyd does

    setup/       what makes a host divert packets
        walkthrough  the published walk-through's own text, read from fixtures/walkthrough
        recipe       rules, routes, sysctls
        by_apply     the same by `tproxyctl apply`
        steering     further rules for single tests
        setups       which recipes, firewall tools and topologies run together
        variants     decorators that repeat a test
        lab          all of these put together for one test
        witness      what has to stay true in every test, whatever it is about

    ctl/         tproxyctl in the lab
        ctl_host     a host with tproxyctl on it, and what a revert must restore
        checklist    `check` on a proxy's host
        connectivity the symptom of new connections
        necessity    the purpose of each part of a set-up
        check_score  how well `check` does on the necessity table
        capability_probes  what a kernel can do: a second opinion on `prove`

    conformance/ verdicts and reports
        requirements the catalogue in fixtures/requirements.toml
        capabilities what an implementation can claim, and which scenario needs what
        verdict      the rules by which an outcome becomes a verdict
        outcomes     verdicts of single tests in pytest
        wording      messages of failed tests for readers who do not know the suite
        evidence     the evidence of a failed test
        deviations   failures that are known
        matrix       cells of requirement and implementation, and the exit status
        suite_runner the suite on one implementation after another
        progress     what a run prints; the summary
        environment  where a run took place
        report       JSON, JUnit, Markdown, and the page made from report.html.template
        spec         docs/SPEC.md
        picture      the matrix as a picture
        badge        how an implementation does, for the README of a proxy
        saved        reads the report of an earlier run
        diff         what two reports differ in
        browser      Chromium, for the test of the page

    plugin       options and fixtures of pytest

Nothing here knows any implementation by name: an implementation is an executable adapter.
"""
