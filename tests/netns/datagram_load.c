/*
 * Loads a proxy of datagrams: clients whose datagrams a server sends back, as fast as the proxy relays them.
 *
 * usage: datagram_load ADDRESS PORT SERVER_PORT CLIENTS WINDOW TRIPS
 *
 * The clients take turns. WINDOW datagrams are under way at all times, so the proxy's queues are never empty while it is
 * slower than this program, and what it can do is what is measured. One thread is the clients, another the server. Prints
 * how many seconds TRIPS round trips took. Exit status 1 when a datagram got lost.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	BATCH = 64,
	SIZE = 64, /* of a datagram: as questions to resolvers are */
	QUEUE = 1 << 20,
	PATIENCE = 10, /* seconds until a datagram counts as lost */
};

static int open_socket(const char *address, int port)
{
	struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct timeval patience = {.tv_sec = PATIENCE};
	int fd = socket(AF_INET, SOCK_DGRAM, 0), queue = QUEUE;

	inet_pton(AF_INET, address, &local.sin_addr);
	if (fd == -1 || bind(fd, (struct sockaddr *)&local, sizeof(local)) == -1)
		err(1, "socket at port %d", port);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &queue, sizeof(queue));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

/* The server's thread: sends back what comes, until the process ends. */
static void *echo(void *arg)
{
	static char data[BATCH][SIZE];
	struct sockaddr_in peers[BATCH];
	struct iovec parts[BATCH];
	struct mmsghdr headers[BATCH];
	int fd = *(int *)arg;

	for (;;) {
		int count;

		for (int i = 0; i < BATCH; i++) {
			parts[i] = (struct iovec){data[i], SIZE};
			headers[i].msg_hdr = (struct msghdr){.msg_name = &peers[i],
				.msg_namelen = sizeof(peers[i]),
				.msg_iov = &parts[i],
				.msg_iovlen = 1};
		}
		count = recvmmsg(fd, headers, BATCH, MSG_WAITFORONE, NULL);
		for (int sent = 0, done; sent < count; sent += done)
			if ((done = sendmmsg(fd, headers + sent, (unsigned)(count - sent), 0)) ==
				-1)
				err(1, "the server cannot send");
	}
	return NULL;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	struct sockaddr_in proxy = {.sin_family = AF_INET};
	char data[SIZE] = "a question of some sixty bytes";
	pthread_t thread;
	double start;
	int clients, window, trips, server, *fds;

	if (argc != 7)
		errx(2, "usage: %s ADDRESS PORT SERVER_PORT CLIENTS WINDOW TRIPS", argv[0]);
	clients = atoi(argv[4]), window = atoi(argv[5]), trips = atoi(argv[6]);
	proxy.sin_port = htons((uint16_t)atoi(argv[2]));
	inet_pton(AF_INET, argv[1], &proxy.sin_addr);
	server = open_socket(argv[1], atoi(argv[3]));
	fds = calloc((size_t)clients, sizeof(*fds));
	if (fds == NULL)
		errx(1, "no memory");
	for (int i = 0; i < clients; i++) {
		fds[i] = open_socket(argv[1], 0);
		if (connect(fds[i], (struct sockaddr *)&proxy, sizeof(proxy)) == -1)
			err(1, "connect");
	}
	if (pthread_create(&thread, NULL, echo, &server) != 0)
		errx(1, "no thread");
	start = now();
	for (int i = 0; i < trips + window; i++) {
		if (i >= window && recv(fds[(i - window) % clients], data, sizeof(data), 0) == -1)
			err(1, "a datagram got lost");
		if (i < trips && send(fds[i % clients], data, sizeof(data), 0) == -1)
			err(1, "send");
	}
	printf("%.6f\n", now() - start);
	free(fds);
	return 0;
}
