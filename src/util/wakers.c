/*
 * A flag for each thread keeps wake-ups few: only the first one since the thread has looked writes to its eventfd. The thread
 * takes the flag back before it looks, so what changes while it looks wakes it again.
 */
#include "tproxy/wakers.h"

#include <stdbool.h>
#include <sys/eventfd.h>

void wakers_add(struct wakers *wakers, unsigned index, int fd)
{
	atomic_store(&wakers->list[index].fd, fd + 1);
}

void wakers_wake(struct wakers *wakers, unsigned index)
{
	struct waker *waker = &wakers->list[index];
	int fd = atomic_load(&waker->fd) - 1;

	if (fd != -1 && !atomic_exchange(&waker->woken, true))
		eventfd_write(fd, 1);
}

void wakers_wake_all(struct wakers *wakers)
{
	for (unsigned i = 0; i < WAKERS_MAX; i++)
		wakers_wake(wakers, i);
}

void wakers_look(struct wakers *wakers, unsigned index)
{
	atomic_store(&wakers->list[index].woken, false);
}
