"""The walks of CONTRIBUTING.md: each adds a thing in the files that it names, and in no others.

Each walk is done in a copy of the tree. Then the gate has to pass, and it has to fail where one file of the walk
is as it was before. So a walk can name neither too few files nor one that nothing asks for. Unit tests are the
exception: nothing asks for them. What the copy shares with the tree is compiled already.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab.paths import ROOT

pytestmark = [pytest.mark.suite, pytest.mark.xdist_group("adding"), pytest.mark.long(150)]  # one copy for all

BUILD = Path(os.environ.get("TPROXYD", ROOT / "build" / "tproxyd")).resolve().parent
LIMITS = {"keyword": 7, "check item": 5, "requirement": 4, "kernel variant": 2}

LONGEST = 600  # seconds that a step may take on a busy machine
UNITS_OF_KEYWORD = ("config/test_config", "config/test_config_foreign", "proxy/test_listener_addresses")
UNITS_OF_ITEM = ("check/test_manual", "check/test_check_links", "check/test_check_report")


# --- the walks: {file: what becomes of its text} ---


def before(anchor, text):
    return lambda old: _placed(old, anchor, text + anchor)


def after(anchor, text):
    return lambda old: _placed(old, anchor, anchor + text)


def instead(anchor, text):
    return lambda old: _placed(old, anchor, text)


def _placed(old, anchor, new):
    assert anchor in old, f"the walk looks for {anchor!r}"
    return old.replace(anchor, new, 1)


def several(*edits):
    def edit(old):
        for each in edits:
            old = each(old)
        return old

    return edit


def whole(text):
    return lambda _: text


KEYWORD = {
    "include/tproxy/config.h": before("\tconst char *name;      /* NULL: none */\n", "\tunsigned user_timeout; /* milliseconds */\n"),
    "src/config/table.c": before(
        '\t{"transparent", "", ON_BIND,',
        '\t{"tcp-ut", "TIME", ON_BIND, 0, TIME(struct bind, user_timeout),\n'
        '\t\t.help = "how long sent data may stay without an acknowledgement"},\n',
    ),
    "src/config/foreign.c": instead('{ON_BIND | ON_SERVER, FOREIGN_REFUSED, "tcp-ut+1"', '{ON_SERVER, FOREIGN_REFUSED, "tcp-ut+1"'),
    "docs/CONFIGURATION.md": before(
        "| `transparent` | bind line |", "| `tcp-ut TIME` | bind line | how long sent data may stay without an acknowledgement |\n"
    ),
    "fixtures/config/good/bind.cfg": lambda old: re.sub(r"(?m)^(\s+bind .*)$", r"\1 tcp-ut 5s", old, count=1),
    "src/proxy/listener.c": several(
        after("#include <errno.h>\n", "#include <netinet/tcp.h>\n"),
        instead(
            "\n\treturn inherited_has(&place, false) ? inherited_take(&place)\n"
            "\t\t\t\t\t    : socket_bind_listener(&place, first);\n",
            "\tint fd = inherited_has(&place, false) ? inherited_take(&place)\n"
            "\t\t\t\t\t      : socket_bind_listener(&place, first);\n\n"
            "\tif (fd != -1)\n"
            "\t\tsetsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &bind->user_timeout,\n"
            "\t\t\tsizeof(bind->user_timeout));\n"
            "\treturn fd;\n",
        ),
    ),
    "tests/unit/proxy/test_listener_addresses.c": several(
        before(
            "static void an_ipv6_listener_takes_ipv4",
            "static void a_listener_has_its_user_timeout(void **state)\n{\n"
            "\tstruct sections sections;\n\tstruct listener_failure failure;\n\tstruct listeners set;\n\n"
            "\t(void)state;\n\tconfigure(&sections);\n"
            "\tsections.binds[0].user_timeout = 5000;\n"
            "\tassert_int_equal(listeners_bind(&set, &sections.config, true, &failure), 0);\n"
            "\tassert_int_equal(option(set.list[0].fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 5000);\n"
            "\tlisteners_free(&set);\n}\n\n",
        ),
        before("\t\tLISTENER_TEST(an_ipv6_listener", "\t\tLISTENER_TEST(a_listener_has_its_user_timeout),\n"),
    ),
}

WHY = "Without it a lost packet costs all that was sent after it."
CHECK_ITEM = {
    "src/check/check.h": before("\tCHECK_ITEMS\n", "\tCHECK_SACK,\n"),
    "src/check/items.c": lambda old: re.sub(
        r"(?ms)(^\t\[CHECK_PERSISTENCE\] = .*?\},\n)",
        lambda row: f'{row[1]}\t[CHECK_SACK] = {{"tcp_sack", "selective acknowledgements",\n\t\t"{WHY}", BY_NETWORK | BY_CLIENTS}},\n',
        old,
    ),
    "src/check/links.c": lambda old: re.sub(
        r"(?m)^\t(\w+)\(check, CHECK_NONLOCAL_BIND,",
        lambda line: "\tif (!check_has_findings(check->report, CHECK_SACK))\n"
        f'\t\t{line[1]}(check, CHECK_SACK, "net/ipv4/tcp_sack", "");\n{line[0]}',
        old,
    ),
    "man/tproxyctl.8": lambda old: re.sub(
        r"(?m)(^\.It Li persistence\n.*\n.*\n)", rf"\1.It Li tcp_sack\nSelective acknowledgements.\n{WHY}\n", old
    ),
    "tests/unit/check/test_check_links.c": several(
        after('\thost_sysctl("net/ipv4/ip_early_demux", "1");\n', '\thost_sysctl("net/ipv4/tcp_sack", "1");\n'),
        before("\tassert_reads(found(CHECK_EARLY_DEMUX", '\tassert_reads(found(CHECK_SACK, CHECK_OK), "net.ipv4.tcp_sack is 1");\n'),
    ),
}

REQUIREMENT = {
    "fixtures/requirements.toml": before(
        "\n# SRC: ",
        '\n[[requirement]]\nid = "TP-BIND-99"\nlevel = "MUST"\nprofile = "binding"\n'
        'text = "A listener listens at its own port only."\nsource = "Linux ip(7)"\nfalsified_by = ["next-port-too"]\n',
    ),
    "tests/netns/test_bind.py": lambda old: f"""{old}

@requirement("TP-BIND-99")
def test_a_listener_listens_at_its_own_port_only(lab):
    lab.serve()
    assert {{local.port for _, local, _ in lab.proxy.sockets("LISTEN")}} == {{lab.vip.port}}
""",
    "tests/netns/implementations/falsifiers/next-port-too": whole('''#!/usr/bin/python3
"""Wrong: listens at the port above each of its own, too."""

from base import Proxy, adapter


class Wrong(Proxy):
    __doc__ = __doc__

    def endpoints(self):
        for listener, address, port in super().endpoints():
            yield listener, address, port
            yield listener, address, port + 1


if __name__ == "__main__":
    adapter(Wrong)
'''),
    "docs/SPEC.md": None,  # written by a program
}

KERNEL_VARIANT = {
    "fixtures/kernels/no-xt-connmark.config": whole(
        "# The target CONNMARK, of both iptables.\n# CONFIG_NETFILTER_XT_CONNMARK is not set\n"
    ),
    "fixtures/kernels/no-xt-connmark.toml": whole(
        'name = "no CONNMARK target"\nabout = "Both iptables lose the target."\n\n[suite]\nABSENT = ["TP-HOST-14/*"]\n'
    ),
}

WALKS = {"keyword": KEYWORD, "check item": CHECK_ITEM, "requirement": REQUIREMENT, "kernel variant": KERNEL_VARIANT}


# --- the copy, and its gate ---


class Tree:
    def __init__(self, root):
        self.root = root
        leave = shutil.ignore_patterns("build", ".git", "__pycache__", ".pytest_cache")
        shutil.copytree(ROOT, root, ignore=leave, symlinks=True)
        for path in [*BUILD.glob("src/**/*.[od]"), *BUILD.glob("tests/unit/**/*.[od]")]:
            made = root / "build" / path.relative_to(BUILD)
            made.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, made)
        self.walked = {}  # {file: its text before and after}
        self.built = False

    @contextlib.contextmanager
    def without(self, name):
        """The copy with one file as it was before the walk."""
        old, new = self.walked[name]
        times = (self.root / name).stat()
        self.write(name, old)
        try:
            yield
        finally:
            self.write(name, new)
            if not name.endswith(".c"):  # nothing was built from the old text
                os.utime(self.root / name, ns=(times.st_atime_ns, times.st_mtime_ns))

    def write(self, name, text):
        path = self.root / name
        if text is None:
            path.unlink()
            return
        path.write_text(text, encoding="utf-8")
        if text.startswith("#!"):
            path.chmod(0o755)
        if path.suffix == ".c" and self.built:
            self.build()

    def walk(self, edits):
        for name, edit in edits.items():
            path = self.root / name
            old = path.read_text(encoding="utf-8") if path.exists() else None
            new = edit(old) if edit else self.specification()
            assert new != old, f"the walk found nothing to change in {name}"
            self.write(name, new)
            self.walked[name] = old, new

    def run(self, *words):
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MAKEFLAGS")}
        for name in ("tproxyd", "tproxyctl"):  # no walk needs them built anew
            environment.setdefault(name.upper(), str(BUILD / name))
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.run(words, cwd=self.root, env=environment, timeout=LONGEST, check=False, **pipes)

    def build(self):
        # What these tests need is that the programs do the same: without optimization gcc takes half the time.
        words = "CFLAGS=-O0", f"-j{len(os.sched_getaffinity(0))}"
        made = self.run("make", *words, *(f"build/tests/unit/{name}" for name in (*UNITS_OF_KEYWORD, *UNITS_OF_ITEM)))
        assert made.returncode == 0, made.stdout
        self.built = True

    def compile(self, name):
        return self.run("gcc", "-std=c11", "-D_GNU_SOURCE", "-Iinclude", "-Isrc", "-fsyntax-only", name)

    def specification(self):
        return self.run(sys.executable, "tests/netns/conformance", "--spec").stdout

    def tests(self, *words):
        return self.run(sys.executable, "tests/netns/run", "-n", "0", "-q", *words)

    def unit(self, name):
        return self.run(f"build/tests/unit/{name}")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    made = Tree(tmp_path_factory.mktemp("adding") / "tree")
    for edits in WALKS.values():
        made.walk(edits)
    made.build()
    return made


def specification_is_current(tree):
    return [] if tree.specification() == (tree.root / "docs" / "SPEC.md").read_text(encoding="utf-8") else ["docs/SPEC.md is stale"]


def failures(*runs):
    return [done.stdout for done in runs if done.returncode != 0]


def gate(tree, kind):
    """What fails: the part of `make check` and `make lint` that sees such a thing."""
    tests = "tests/netns/selftest"
    if kind == "keyword":
        return failures(tree.compile("src/config/table.c"), *map(tree.unit, UNITS_OF_KEYWORD))
    if kind == "check item":
        return failures(tree.compile("src/check/items.c"), *map(tree.unit, UNITS_OF_ITEM))
    if kind == "requirement":
        falsifier = tree.tests("-k", "next-port-too", f"{tests}/suite/test_falsifiers.py")
        return failures(tree.tests(f"{tests}/tree/test_requirements.py"), falsifier) + specification_is_current(tree)
    return failures(tree.tests(f"{tests}/kernel_lab/test_kernel_results.py"))


@pytest.mark.parametrize("kind", WALKS)
def test_the_walk_names_the_files_and_keeps_its_limit(kind):
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    walk = re.search(rf"(?ms)^### A {kind}$(.*?)^##", text)[1]
    assert re.findall(r"(?m)^\d\. `([^`]+)`", walk) == list(WALKS[kind])
    assert len(WALKS[kind]) <= LIMITS[kind]


@pytest.mark.parametrize("kind", WALKS)
def test_the_gate_passes_what_was_added(tree, kind):
    assert not gate(tree, kind)


def test_tproxyd_meets_the_requirement(tree):
    assert not failures(tree.tests("tests/netns/test_bind.py", "-k", "listens_at_its_own_port_only"))


def test_folders_and_sizes_pass(tree):
    assert not failures(tree.run(".ci/arrows", "build"), tree.run(".ci/stats"))


# What the gate says where a file is left out.
LEFT_OUT = [
    ("keyword", "include/tproxy/config.h", "user_timeout"),
    ("keyword", "src/config/table.c", "tcp-ut: neither a keyword nor among the words of foreign.c"),
    ("keyword", "src/config/foreign.c", "a keyword, and among the foreign words, too"),
    ("keyword", "docs/CONFIGURATION.md", "docs/CONFIGURATION.md should have the table above"),
    ("keyword", "fixtures/config/good/bind.cfg", "tcp-ut: no file under fixtures/config/good has it"),
    ("keyword", "src/proxy/listener.c", "a_listener_has_its_user_timeout"),
    ("check item", "src/check/check.h", "CHECK_SACK"),
    ("check item", "src/check/items.c", "has no row in src/check/items.c"),
    ("check item", "src/check/links.c", "tcp_sack is not ok"),
    ("check item", "man/tproxyctl.8", "man/tproxyctl.8, CHECKLIST: it says"),
    ("requirement", "fixtures/requirements.toml", "test_every_test_names_one_requirement"),
    ("requirement", "tests/netns/test_bind.py", "assert not ['TP-BIND-99']"),
    ("requirement", "tests/netns/implementations/falsifiers/next-port-too", "assert not ['next-port-too']"),
    ("requirement", "docs/SPEC.md", "docs/SPEC.md is stale"),
    ("kernel variant", "fixtures/kernels/no-xt-connmark.config", "cannot read"),
    ("kernel variant", "fixtures/kernels/no-xt-connmark.toml", "test_a_variant_is_two_files"),
]


def test_every_file_but_unit_tests_is_left_out_once():
    named = [name for edits in WALKS.values() for name in edits if not name.startswith("tests/unit/")]
    assert [name for _, name, _ in LEFT_OUT] == named


@pytest.mark.parametrize("kind, name, message", LEFT_OUT, ids=[name for _, name, _ in LEFT_OUT])
def test_the_gate_fails_where_a_file_is_left_out(tree, kind, name, message):
    with tree.without(name):
        assert message in "".join(gate(tree, kind))
