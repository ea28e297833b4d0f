# tproxyd: reference transparent proxy and conformance suite. `make help` lists what there is.

BUILD    ?= build
CC       ?= gcc
# Debian's own interpreter: another python3 may come first on PATH, without the system's pytest.
PYTHON   ?= /usr/bin/python3
PROXY    ?= tproxyd
VERSION  := 0.1.0

PACKAGES := libevent_core libevent_pthreads libcap-ng
WARNINGS := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes \
            -Wwrite-strings -Wvla -Wformat=2 -Werror
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -DTPROXYD_VERSION='"$(VERSION)"' -Iinclude -g -O2 -pthread \
             -fstack-protector-strong -MMD -MP $(WARNINGS) $(SANITIZE) $(CFLAGS) \
             $(shell pkg-config --cflags $(PACKAGES))
ALL_LDFLAGS = -pthread $(SANITIZE) $(LDFLAGS)
LIBS     = $(shell pkg-config --libs $(PACKAGES))

MAINS    := src/tproxyd.c
PROGRAMS := $(MAINS:src/%.c=$(BUILD)/%)
# Everything but the mains goes into one archive, so that what is tested is what ships.
SOURCES  := $(sort $(wildcard src/*/*.c))
OBJECTS  := $(SOURCES:%.c=$(BUILD)/%.o)
ARCHIVE  := $(BUILD)/libtproxy.a
UNITS    := $(sort $(wildcard tests/unit/test_*.c))
UNIT_PROGRAMS := $(UNITS:%.c=$(BUILD)/%)
# Two spellings of one build: the sanitizers' lives in a folder of its own.
ASAN     := BUILD=$(BUILD)/asan SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"

.PHONY: all help deps demo check unit netns asan fixtures lint clean install
all: $(PROGRAMS)

help:
	@echo 'make            build $(PROGRAMS)'
	@echo 'make demo       run the walk-through step by step (PROXY=haproxy: with HAProxy)'
	@echo 'make check      build and run every test; ends with a line of counts'
	@echo 'make unit       the unit tests alone;  make netns  the namespace suite alone'
	@echo 'make asan       both under AddressSanitizer and UBSan'
	@echo 'make lint       warnings of two compilers, clang-tidy, cppcheck, formatting, layering'
	@echo 'make deps       install all that these need (as root; Debian or Ubuntu)'
	@echo 'make install    install into DESTDIR and PREFIX (default /usr/local)'

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(ARCHIVE): $(OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $(OBJECTS)

$(PROGRAMS): $(BUILD)/%: $(BUILD)/src/%.o $(ARCHIVE)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(UNIT_PROGRAMS): %: %.o $(ARCHIVE)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) -lcmocka

.PRECIOUS: $(BUILD)/%.o
-include $(wildcard $(BUILD)/src/*.d $(BUILD)/src/*/*.d $(BUILD)/tests/unit/*.d)

clean:
	rm -rf $(BUILD)
