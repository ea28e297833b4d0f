/*
 * Dropped packets by perf_event_open(2): each processor has an event of its own, which writes a record of each packet into a ring of
 * pages. Nothing of it outlives the process, and tracing by others is not touched.
 *
 * The trap is the record that goes over the ring's end: its bytes are copied one by one.
 */
#include "drops.h"
#include "tproxy/text.h"

#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	TEXT_MAX = 1 << 15,
	RING_PAGES = 16, /* a power of two; about 1,000 records */
	REASONS = 256,   /* larger numbers are those of wireless networks and the like */
	RAW_AT = sizeof(struct perf_event_header) + sizeof(uint32_t)
};

struct ring {
	int fd;
	void *pages; /* the first one is struct perf_event_mmap_page */
};

struct drops {
	char *format; /* the tracepoint's file */
	size_t reason_at;
	struct ring *rings;
	size_t count;
};

bool drops_read_format(const char *text, unsigned *id, size_t *reason_at)
{
	const char *number = strstr(text, "\nID: "), *field = strstr(text, " reason;\toffset:");

	return number != NULL && field != NULL && sscanf(number, "\nID: %u", id) == 1 &&
	       sscanf(field, " reason;\toffset:%zu;", reason_at) == 1;
}

char *drops_reason(const char *text, unsigned reason)
{
	char *entry = text_format("{ %u, \"", reason);
	const char *name = strstr(text, entry);
	char *found = NULL;

	if (name != NULL) {
		name += strlen(entry);
		found = text_format("%.*s", (int)strcspn(name, "\""), name);
	}
	free(entry);
	return found;
}

unsigned drops_unspecified(const char *text)
{
	enum {
		LATEST = 2 /* since Linux 6.2 */
	};

	for (unsigned i = 0; i < LATEST; i++) {
		char *name = drops_reason(text, i);
		bool unspecified = name != NULL && strcmp(name, "NOT_SPECIFIED") == 0;

		free(name);
		if (unspecified)
			return i;
	}
	return LATEST;
}

static char *read_format(void)
{
	static const char *const paths[] = {"/sys/kernel/tracing/events/skb/kfree_skb/format",
		"/sys/kernel/debug/tracing/events/skb/kfree_skb/format"};
	char *text = calloc(1, TEXT_MAX);
	FILE *file = NULL;

	if (text == NULL)
		abort(); /* out of memory */
	for (size_t i = 0; file == NULL && i < sizeof(paths) / sizeof(paths[0]); i++)
		file = fopen(paths[i], "re");
	if (file != NULL) {
		text[fread(text, 1, TEXT_MAX - 1, file)] = '\0';
		fclose(file);
	}
	return text;
}

static size_t ring_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE) * RING_PAGES;
}

static void close_ring(const struct ring *ring)
{
	if (ring->pages != MAP_FAILED)
		munmap(ring->pages, ring_size() + (size_t)sysconf(_SC_PAGESIZE));
	close(ring->fd);
}

static bool open_ring(struct ring *ring, unsigned id, int processor, const char *filter)
{
	struct perf_event_attr attributes = {.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attributes),
		.config = id,
		.sample_period = 1,
		.sample_type = PERF_SAMPLE_RAW};

	ring->fd = (int)syscall(
		SYS_perf_event_open, &attributes, -1, processor, -1, PERF_FLAG_FD_CLOEXEC);
	if (ring->fd == -1)
		return false;
	ring->pages = mmap(NULL, ring_size() + (size_t)sysconf(_SC_PAGESIZE),
		PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);
	if (ring->pages != MAP_FAILED && ioctl(ring->fd, PERF_EVENT_IOC_SET_FILTER, filter) == 0)
		return true;
	close_ring(ring);
	return false;
}

struct drops *drops_begin(void)
{
	long processors = sysconf(_SC_NPROCESSORS_CONF);
	struct drops *drops = calloc(1, sizeof(*drops));
	char *filter;
	unsigned id;

	if (drops == NULL || processors < 1)
		abort(); /* out of memory */
	drops->rings = calloc((size_t)processors, sizeof(*drops->rings));
	if (drops->rings == NULL)
		abort(); /* out of memory */
	drops->format = read_format();
	/* 0x0800 and 0x86dd */
	filter = text_format("(protocol == 2048 || protocol == 34525) && reason > %u",
		drops_unspecified(drops->format));
	if (drops_read_format(drops->format, &id, &drops->reason_at))
		for (int i = 0; i < processors; i++)
			drops->count += open_ring(&drops->rings[drops->count], id, i, filter);
	free(filter);
	if (drops->count > 0)
		return drops;
	free(drops_end(drops));
	return NULL;
}

/* Copies SIZE bytes of a ring, beginning with the byte number AT since the start. */
static void copy_out(const struct ring *ring, uint64_t at, void *to, size_t size)
{
	const uint8_t *data = (const uint8_t *)ring->pages + sysconf(_SC_PAGESIZE);

	for (size_t i = 0; i < size; i++)
		((uint8_t *)to)[i] = data[(at + i) % ring_size()];
}

static void count_reasons(
	const struct drops *drops, const struct ring *ring, unsigned counts[REASONS])
{
	const struct perf_event_mmap_page *page = ring->pages;
	uint64_t head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
	struct perf_event_header header;

	for (uint64_t at = 0; at + sizeof(header) <= head; at += header.size) {
		uint32_t reason;

		copy_out(ring, at, &header, sizeof(header));
		if (header.size < sizeof(header))
			return;
		if (header.type != PERF_RECORD_SAMPLE ||
			header.size < RAW_AT + drops->reason_at + sizeof(reason))
			continue;
		copy_out(ring, at + RAW_AT + drops->reason_at, &reason, sizeof(reason));
		if (reason < REASONS)
			counts[reason]++;
	}
}

char *drops_end(struct drops *drops)
{
	unsigned counts[REASONS] = {0};
	char *text = NULL;

	if (drops == NULL)
		return NULL;
	for (size_t i = 0; i < drops->count; i++) {
		count_reasons(drops, &drops->rings[i], counts);
		close_ring(&drops->rings[i]);
	}
	for (unsigned i = 0; i < REASONS; i++) {
		char *name = counts[i] > 0 ? drops_reason(drops->format, i) : NULL;

		if (name != NULL)
			text_add(&text, "%s%s %u", text != NULL ? ", " : "", name, counts[i]);
		free(name);
	}
	free(drops->rings);
	free(drops->format);
	free(drops);
	return text;
}
