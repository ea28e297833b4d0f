"""The kernel lab: which option of a kernel breaks what.

    configuration  kernel configurations as text: read, put together, compared
    variants       the kernels of fixtures/kernels, each with what is to be expected of it
    source         where a kernel's source comes from
    build          kernels from source, and the cache of finished ones
    engines        user-mode Linux and qemu; initramfs for those that need one
    tree           the copy of this tree that guests test
    guests         boots them, watches their consoles, ends them
    suite          what of the namespace suite runs in one
    observe        what a guest brought back; what tproxyctl reads from a configuration
    ways           which profiles a configuration promises
    agreement      four accounts of a kernel, and where they disagree
    matrix         what is shown of it
    durations      how long things take
    runner         all of these put together
    minimize       which options are needed: the search
    search         the same with kernels, and the list that is published

A kernel is judged by what it does. Predictions are data, written by hand, and a kernel that behaves
otherwise fails the run: nothing here makes one agree with the other.
"""
