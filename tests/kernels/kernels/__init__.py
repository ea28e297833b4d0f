"""The kernel lab: boots kernels, and shows which kernel option breaks what.

    configuration  kernel configurations as text: parse, merge, compare
    variants       the kernels of fixtures/kernels, each with its predicted result
    source         where the source of Linux comes from
    build          builds kernels; the cache of built kernels
    engines        user-mode Linux and qemu
    initramfs      the initramfs for kernels that have 9p as a module
    tree           the copy of this tree that a guest tests
    guests         boots guests, reads their consoles, ends them
    suite          the part of the namespace suite that runs in a guest
    observe        reads the results of a guest, and what tproxyctl says about a configuration
    ways           which profiles a configuration allows
    agreement      compares four results of a kernel, and lists disagreements
    matrix         the table of results
    durations      how long builds and guests take
    runner         runs all of these
    minimize       which options are needed: the search, without kernels
    search         the same search with kernels, and the published list

A kernel is judged by what it does. Predictions are data, written by hand. A kernel that does not do what was
predicted fails the run. The lab never adapts a prediction to a result.
"""
