/*
 * Wakers: how one thread lets another one look at what they share.
 *
 * Each thread has a number and an eventfd that its event loop reads. A wake-up carries no message: the one who is woken looks at
 * all that may have changed.
 */
#ifndef TPROXY_WAKERS_H
#define TPROXY_WAKERS_H

#include <stdatomic.h>

enum {
	WAKERS_MAX = 65 /* threads: their numbers are below it. 64 workers, and the main thread */
};

struct waker {
	atomic_int fd;     /* 1 more than its eventfd; 0: it has none */
	atomic_bool woken; /* it has not looked since */
};

struct wakers {
	struct waker list[WAKERS_MAX];
};

/* Says where thread INDEX is woken: at FD, an eventfd, which must stay open while any thread may wake it. */
void wakers_add(struct wakers *wakers, unsigned index, int fd);

/* Any thread may call these. Several wake-ups before the thread has looked are one. */
void wakers_wake(struct wakers *wakers, unsigned index);
void wakers_wake_all(struct wakers *wakers);

/* By the thread itself, before it looks: from now on it can be woken again. */
void wakers_look(struct wakers *wakers, unsigned index);

#endif
