# tproxyd: reference transparent proxy and conformance suite. `make help` lists what there is.

BUILD   ?= build
CC      := gcc
# The distribution's own interpreter: another python3 may come first on PATH, without its pytest.
PYTHON  := /usr/bin/python3
PROXY   ?= tproxyd
PREFIX  ?= /usr/local

PACKAGES := libevent_core libevent_extra libcap-ng libseccomp jansson libmnl zlib liburing
WARNINGS := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes \
            -Wwrite-strings -Wvla -Wformat=2 -Werror
DEFINES  := -D_GNU_SOURCE -Iinclude -Isrc
ALL_CFLAGS = -std=c11 $(DEFINES) -g -O2 -pthread -fstack-protector-strong -MMD -MP $(WARNINGS) \
             $(SANITIZE) $(shell pkg-config --cflags $(PACKAGES)) $(CFLAGS)
# Each program loads only the libraries that it uses.
ALL_LDFLAGS = -pthread -Wl,--as-needed $(SANITIZE) $(LDFLAGS)
LIBS      = $(shell pkg-config --libs $(PACKAGES)) -lm

# The two mains; each program is its main and the archive.
MAINS    := src/tproxyd.c src/ctl/main.c
PROGRAMS := $(BUILD)/tproxyd $(BUILD)/tproxyctl
# Everything but the mains goes into one archive, so that what is tested is what ships.
SOURCES  := $(sort $(filter-out $(MAINS),$(wildcard src/*/*.c)))
ARCHIVE  := $(BUILD)/libtproxy.a
UNITS    := $(sort $(wildcard tests/unit/*/test_*.c))
UNIT_PROGRAMS := $(UNITS:%.c=$(BUILD)/%)
# What unit tests share.
RIG_FILES := $(filter-out $(UNITS),$(wildcard tests/unit/*.c tests/unit/*/*.c))
RIGS     := $(RIG_FILES:%.c=$(BUILD)/%.o)
FUZZERS  := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_PROGRAMS := $(FUZZERS:%.c=$(BUILD)/%)
C_FILES   = $(SOURCES) $(MAINS) $(FUZZERS) $(UNITS) $(RIG_FILES) \
            $(wildcard tests/netns/*.c tests/netns/selftest/*/*.c tests/kernels/*.c)
H_FILES   = $(wildcard include/tproxy/*.h src/*/*.h tests/unit/*.h tests/unit/*/*.h tests/fuzz/*.h)

# Builds within other targets use all processors, unless make was given its own -j.
QUIET_MAKE = $(MAKE) --no-print-directory -s $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

.PHONY: all units fuzzers help deps demo check unit netns asan tsan fuzz lint stats format clean install
.PHONY: mutate compile-words link-words library-words
.PHONY: conformance deps-build deps-test deps-lint deps-fuzz deps-reports deps-peers deps-programs
.PHONY: kernel-lab deps-kernels deps-kernels-qemu
.PRECIOUS: $(BUILD)/%.o

all: $(PROGRAMS)
units: $(UNIT_PROGRAMS)
fuzzers: $(FUZZ_PROGRAMS)

help:
	@echo 'make           build/tproxyd and build/tproxyctl'
	@echo 'make demo      run the walk-through step by step (PROXY=haproxy: with HAProxy)'
	@echo 'make check     build and run every test; ends with a line of counts'
	@echo 'make unit      the unit tests;     make netns  the namespace suite'
	@echo 'make asan      both with AddressSanitizer and UBSan, the longest tests left out'
	@echo 'make tsan      unit tests that start threads, and those that pass traffic, with ThreadSanitizer'
	@echo 'make fuzz T=60   made-up bytes for every reader, so many seconds each; what breaks one is kept'
	@echo 'make conformance IMPL="tproxyd haproxy"   a verdict for every requirement on each of them'
	@echo 'make kernel-lab KERNELS="base no-xt-socket"   boot kernels, and say what each of them breaks;'
	@echo '                KERNELS=all, KERNEL=PATH, CONFIG=FILE, ENGINE=qemu, MINIMIZE=1, CONFIRM=1, LAB=--help'
	@echo 'make mutate    change src/proxy, src/servers, src/net and the base of the wrong proxies in one place at a time, and see'
	@echo '               whether a test notices; MUTATE=--help: a file, one mutant, more at a time'
	@echo 'make lint      two compilers, analysers, formatting, order of folders, sizes, shellcheck, pyflakes'
	@echo 'make deps      install all that these need (Debian and Ubuntu, as root)'
	@echo 'make deps-peers   the other proxies that the suite has adapters for; their services stay down'
	@echo 'make deps-programs   programs that tests try through tproxyd (dnsmasq, ngtcp2, chrony, sshd, vsftpd); their services stay down'
	@echo 'make stats     how large files and functions are, by folder'
	@echo 'make install   into PREFIX ($(PREFIX)), under DESTDIR'

# --- building ---

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

# The page's files are part of this object.
$(BUILD)/src/web/page.o: $(wildcard src/web/page/*)

$(ARCHIVE): $(SOURCES:%.c=$(BUILD)/%.o)
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/tproxyd: $(BUILD)/src/tproxyd.o
$(BUILD)/tproxyctl: $(BUILD)/src/ctl/main.o
$(PROGRAMS): $(ARCHIVE)
	$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(ARCHIVE) $(LIBS)

# A test finds what all of them share in the folder above its own.
$(BUILD)/tests/unit/%.o: DEFINES += -Itests/unit
$(UNIT_PROGRAMS): %: %.o $(RIGS) $(ARCHIVE)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) -lcmocka

# The netlink reader asks a socket of libmnl; its fuzzer answers in the kernel's place.
WRAPPED := open2 bind sendto recvfrom get_portid close
$(BUILD)/tests/fuzz/fuzz_netlink: ALL_LDFLAGS += $(WRAPPED:%=-Wl,--wrap=mnl_socket_%)
$(FUZZ_PROGRAMS): %: %.o $(ARCHIVE)
	$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LIBS)

-include $(wildcard $(BUILD)/src/*.d $(BUILD)/src/*/*.d $(BUILD)/tests/unit/*.d $(BUILD)/tests/unit/*/*.d $(BUILD)/tests/fuzz/*.d)

install: all
	install -D -m 755 $(BUILD)/tproxyd $(DESTDIR)$(PREFIX)/sbin/tproxyd
	install -D -m 755 $(BUILD)/tproxyctl $(DESTDIR)$(PREFIX)/sbin/tproxyctl
	install -D -m 644 man/tproxyd.8 $(DESTDIR)$(PREFIX)/share/man/man8/tproxyd.8
	install -D -m 644 man/tproxyctl.8 $(DESTDIR)$(PREFIX)/share/man/man8/tproxyctl.8

clean:
	rm -rf $(BUILD)

# --- packages ---

deps:
	.ci/deps build test lint
deps-build deps-test deps-lint deps-fuzz deps-peers deps-programs deps-kernels deps-kernels-qemu: deps-%:
	@.ci/deps build $*
# A browser, and what tests ask about accessibility.
deps-reports:
	@.ci/deps build reports
	@.ci/axe-core $(BUILD)

# --- trying and testing ---

# A namespace ends with its parent process, however that ends. The parent is named here.
ISOLATED = TPROXY_LAB_PARENT=$$PPID exec $(PYTHON)

demo: deps-build
	@$(if $(filter haproxy,$(PROXY)),.ci/deps test)
	@$(QUIET_MAKE) all
	@$(ISOLATED) tests/netns/demo --proxy $(PROXY)

# The same sources with sanitizers, in a folder of their own. A program starts and ends in half the time when gcc's libraries for
# them are part of it, as clang's are, and when it is not relocated.
INSIDE := $(if $(findstring clang,$(CC)),,-static-libasan -static-libubsan -no-pie)
ASAN := BUILD=$(BUILD)/asan SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=all' LDFLAGS='$(LDFLAGS) $(INSIDE)'
TSAN := BUILD=$(BUILD)/tsan SANITIZE='-fsanitize=thread'

check: deps-test
	@$(QUIET_MAKE) all units
	@$(QUIET_MAKE) $(ASAN) all units
	@$(ISOLATED) tests/check --build $(BUILD)
unit: deps-test
	@$(QUIET_MAKE) units
	@$(ISOLATED) tests/check --build $(BUILD) unit
netns: deps-test
	@$(QUIET_MAKE) all
	@$(ISOLATED) tests/check --build $(BUILD) netns
asan: deps-test
	@$(QUIET_MAKE) $(ASAN) all units
	@$(ISOLATED) tests/check --build $(BUILD) unit-asan netns-asan
tsan: deps-test
	@$(QUIET_MAKE) $(TSAN) all units
	@$(ISOLATED) tests/check --build $(BUILD) unit-tsan netns-tsan

# T: seconds for each target. The sources are built anew, with what libFuzzer and the sanitizers need.
T ?= 60
FUZZ := BUILD=$(BUILD)/fuzz CC=clang SANITIZE='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all'
fuzz: deps-fuzz
	@$(QUIET_MAKE) $(FUZZ) fuzzers
	@$(PYTHON) tests/fuzz/run --build $(BUILD)/fuzz --seconds $(T)

# Takes some hours, and goes on where it was ended. MUTATE="--file src/proxy/relay.c": arguments for one project.
mutate: deps-test deps-lint
	@$(QUIET_MAKE) all units
	@$(PYTHON) tests/mutate/mutate $(MUTATE)
	@$(if $(MUTATE),,$(PYTHON) tests/mutate/mutate --project tests/mutate/base.toml)
# What it compiles and links with.
compile-words:
	@echo '$(CC) $(ALL_CFLAGS)'
link-words:
	@echo '$(CC) $(ALL_LDFLAGS)'
library-words:
	@echo '$(LIBS) -lcmocka'

# IMPL="tproxyd haproxy": the implementations; CONFORMANCE="--profile full": further arguments.
IMPL ?= tproxyd
conformance: deps-test
	@$(if $(filter tproxyd,$(IMPL)),$(QUIET_MAKE) all)
	@$(ISOLATED) tests/netns/conformance --impl $(IMPL) $(CONFORMANCE)

# KERNELS="base no-ipv6" or all, or KERNEL=PATH, CONFIG=FILE, MINIMIZE=1 or CONFIRM=1; LAB="--within 10": further arguments.
ENGINE ?= uml
KERNEL_LAB = $(if $(CONFIG),--config $(CONFIG),$(if $(KERNEL),--kernel $(KERNEL),$(if $(MINIMIZE),--minimize,\
	$(if $(CONFIRM),--confirm,$(if $(KERNELS),--kernels $(KERNELS)))))) --engine $(ENGINE) $(if $(PROFILE),--profile $(PROFILE)) $(LAB)
kernel-lab: deps-test
	@$(if $(CONFIG)$(KERNEL),,.ci/deps kernels)
	@$(if $(filter qemu,$(ENGINE)),.ci/deps kernels-qemu)
	@$(QUIET_MAKE) all
	@$(ISOLATED) tests/kernels/lab $(KERNEL_LAB)

# --- reading ---

lint: deps-lint deps-test
	@echo 'gcc and clang, warnings as errors'
	@$(QUIET_MAKE) all units
	@$(QUIET_MAKE) BUILD=$(BUILD)/clang CC=clang all units
	@echo 'folders use those below them, and no files use each other in a circle'
	@.ci/arrows $(BUILD)
	@.ci/arrows-lab
	@echo 'sizes of files, folders and functions'
	@.ci/stats >/dev/null || .ci/stats
	@echo 'clang-format'
	@clang-format --dry-run -Werror $(C_FILES) $(H_FILES)
	@echo 'cppcheck'
	@cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --library=posix \
		--enable=warning,portability,performance $(DEFINES) $(SOURCES) $(MAINS)
	@echo 'clang-tidy'
	@# One file a process: version 14 mistakes functions of a later file for va_start() and others.
	@printf '%s\n' $(C_FILES) | xargs -P 2 -n 1 sh -c \
		'clang-tidy --quiet "$$@" -- -std=c11 $(DEFINES) -Itests/unit 2>/dev/null' clang-tidy
	@echo 'pyflakes'
	@pyflakes3 .ci tests docs
	@echo 'docs/SPEC.md is what the catalogue says'
	@$(PYTHON) tests/netns/conformance --spec | diff -u docs/SPEC.md -
	@echo 'manual pages format without a warning'
	@for page in man/*.8; do man --warnings -E UTF-8 -l $$page 2>&1 >/dev/null | sed "s|^|$$page: |"; done | ( ! grep . )
	@mandoc -T lint -W warning man/*.8
	@echo 'shellcheck'
	@shellcheck .ci/axe-core .ci/deps .ci/kernel-can .ci/run contrib/adapter-template tests/netns/implementations/pen tests/netns/implementations/redir \
		tests/kernels/guest tests/netns/selftest/daemon/boot-systemd
	@shellcheck -x -P docs/peers/reproduce docs/peers/reproduce/*.sh
	@echo 'lint: clean'
stats:
	@.ci/stats
format:
	clang-format -i $(C_FILES) $(H_FILES)
