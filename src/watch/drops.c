/*
 * Dropped packets by perf_event_open(2): each processor has an event of its own, which writes a record of each packet into a ring of
 * pages. Nothing of it outlives the process, and tracing by others is not touched.
 *
 * A ring has room for some 4,000 records, and a machine may drop more than that in a minute. So the rings are read whenever one is
 * half full, by who polls drops_descriptor(); and the kernel's own count shows whether records were lost all the same.
 *
 * The trap is the record that goes over the ring's end: its bytes are copied one by one.
 */
#include "drops.h"
#include "tproxy/text.h"

#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	TEXT_MAX = 1 << 15,
	RING_PAGES = 64, /* a power of two */
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
	int ready; /* an epoll of the rings */
	struct drops_counts counts;
};

bool drops_read_format(const char *text, unsigned *id, size_t *reason_at)
{
	const char *number = strstr(text, "\nID: "), *field = strstr(text, " reason;\toffset:");

	return number != NULL && field != NULL && sscanf(number, "\nID: %u", id) == 1 &&
	       sscanf(field, " reason;\toffset:%zu;", reason_at) == 1;
}

/* The name that TEXT has for a reason, to be freed; NULL: none. */
static char *name_of(const char *text, unsigned reason)
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

/* The number that TEXT has for NAME, or -1. */
static int number_of(const char *text, const char *name)
{
	int found = -1;

	for (unsigned i = 0; found == -1 && i < DROPS_REASONS; i++) {
		char *other = name_of(text, i);

		if (other != NULL && strcmp(other, name) == 0)
			found = (int)i;
		free(other);
	}
	return found;
}

/* What is less than "not specified" is no loss, and what is more is a reason. */
char *drops_filter(const char *text)
{
	static const char *const others[] = {"QUEUE_PURGE", "PACKET_SOCK_ERROR"};
	int unspecified = number_of(text, "NOT_SPECIFIED");
	char *filter = NULL;

	/* 0x0800 and 0x86dd; 2 is its number since Linux 6.2 */
	text_add(&filter, "(protocol == 2048 || protocol == 34525) && reason > %d",
		unspecified != -1 ? unspecified : 2);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		int number = number_of(text, others[i]);

		if (number != -1)
			text_add(&filter, " && reason != %d", number);
	}
	return filter;
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

static bool open_ring(struct ring *ring, unsigned id, int processor, const char *filter, int ready)
{
	struct perf_event_attr attributes = {.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attributes),
		.config = id,
		.sample_period = 1,
		.sample_type = PERF_SAMPLE_RAW,
		.disabled = 1, /* until it has its filter */
		.watermark = 1,
		.wakeup_watermark = (uint32_t)ring_size() / 2};
	struct epoll_event event = {.events = EPOLLIN};

	ring->fd = (int)syscall(
		SYS_perf_event_open, &attributes, -1, processor, -1, PERF_FLAG_FD_CLOEXEC);
	if (ring->fd == -1)
		return false;
	ring->pages = mmap(NULL, ring_size() + (size_t)sysconf(_SC_PAGESIZE),
		PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);
	if (ring->pages != MAP_FAILED && ioctl(ring->fd, PERF_EVENT_IOC_SET_FILTER, filter) == 0 &&
		epoll_ctl(ready, EPOLL_CTL_ADD, ring->fd, &event) == 0 &&
		ioctl(ring->fd, PERF_EVENT_IOC_ENABLE, 0) == 0)
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
	drops->ready = epoll_create1(EPOLL_CLOEXEC);
	filter = drops_filter(drops->format);
	if (drops_read_format(drops->format, &id, &drops->reason_at))
		for (int i = 0; i < processors; i++)
			drops->count +=
				open_ring(&drops->rings[drops->count], id, i, filter, drops->ready);
	free(filter);
	if (drops->count > 0)
		return drops;
	free(drops_end(drops));
	return NULL;
}

int drops_descriptor(const struct drops *drops)
{
	return drops != NULL ? drops->ready : -1;
}

static void copy_out(const uint8_t *ring, size_t size, uint64_t at, void *to, size_t length)
{
	for (size_t i = 0; i < length; i++)
		((uint8_t *)to)[i] = ring[(at + i) % size];
}

void drops_count(struct drops_counts *counts, const uint8_t *ring, size_t size, uint64_t from,
	uint64_t to, size_t reason_at)
{
	struct perf_event_header header;

	for (uint64_t at = from; at + sizeof(header) <= to; at += header.size) {
		uint32_t reason;

		copy_out(ring, size, at, &header, sizeof(header));
		if (header.size < sizeof(header))
			return;
		if (header.type != PERF_RECORD_SAMPLE ||
			header.size < RAW_AT + reason_at + sizeof(reason))
			continue;
		copy_out(ring, size, at + RAW_AT + reason_at, &reason, sizeof(reason));
		counts->read++;
		if (reason < DROPS_REASONS)
			counts->reasons[reason]++;
	}
}

void drops_read(struct drops *drops)
{
	for (size_t i = 0; i < drops->count; i++) {
		struct perf_event_mmap_page *page = drops->rings[i].pages;
		uint64_t head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);

		drops_count(&drops->counts, (const uint8_t *)page + sysconf(_SC_PAGESIZE),
			ring_size(), page->data_tail, head, drops->reason_at);
		__atomic_store_n(&page->data_tail, head, __ATOMIC_RELEASE);
	}
}

char *drops_text(const struct drops_counts *counts, const char *format)
{
	char *text = NULL;

	for (unsigned i = 0; i < DROPS_REASONS; i++) {
		char *name = counts->reasons[i] > 0 ? name_of(format, i) : NULL;

		if (name != NULL)
			text_add(&text, "%s%s %u", text != NULL ? ", " : "", name,
				counts->reasons[i]);
		free(name);
	}
	if (counts->all > counts->read)
		text_add(&text, "%s%llu more for reasons that could not be read in time",
			text != NULL ? ", " : "", (unsigned long long)(counts->all - counts->read));
	return text;
}

/* The packets that were dropped while a ring was open, also those that it had no room for. */
static uint64_t counted_by(const struct ring *ring)
{
	uint64_t count;

	return read(ring->fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

char *drops_end(struct drops *drops)
{
	char *text;

	if (drops == NULL)
		return NULL;
	for (size_t i = 0; i < drops->count; i++) {
		ioctl(drops->rings[i].fd, PERF_EVENT_IOC_DISABLE, 0);
		drops->counts.all += counted_by(&drops->rings[i]);
	}
	drops_read(drops);
	text = drops_text(&drops->counts, drops->format);
	for (size_t i = 0; i < drops->count; i++)
		close_ring(&drops->rings[i]);
	close(drops->ready);
	free(drops->rings);
	free(drops->format);
	free(drops);
	return text;
}
