/* Preloaded into every i2pd of a private network. i2pd 2.45 refuses connections from reserved
 * addresses, including loopback, and has no option to accept them. The router infos therefore
 * contain addresses of the benchmarking range 198.18.0.0/16 (RFC 2544), which is not routed. This
 * library maps them to 127.18.0.0/16 in calls of the system and maps results back. No packet
 * leaves the machine, and i2pd only gets addresses that it accepts. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#define NETWORK_MASK 0xffff0000u
#define SHOWN 0xc6120000u /* 198.18.0.0 */
#define REAL 0x7f120000u  /* 127.18.0.0 */

static in_addr_t moved(in_addr_t address, in_addr_t from, in_addr_t to)
{
	in_addr_t host = ntohl(address);
	return (host & NETWORK_MASK) == from ? htonl(to | (host & ~NETWORK_MASK)) : address;
}

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
	int (*next)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
	struct sockaddr_in v4;
	if (address->sa_family == AF_INET && len >= sizeof v4) {
		v4 = *(const struct sockaddr_in *)address;
		v4.sin_addr.s_addr = moved(v4.sin_addr.s_addr, SHOWN, REAL);
		address = (const struct sockaddr *)&v4;
	}
	return next(fd, address, len);
}

int getpeername(int fd, struct sockaddr *address, socklen_t *len)
{
	int (*next)(int, struct sockaddr *, socklen_t *) = dlsym(RTLD_NEXT, "getpeername");
	int result = next(fd, address, len);
	if (result == 0 && address->sa_family == AF_INET) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)address;
		v4->sin_addr.s_addr = moved(v4->sin_addr.s_addr, REAL, SHOWN);
	}
	return result;
}

/* Standard input is a pipe that the test process holds open. It is closed when that process ends
 * for any reason, and the router then exits. */
static void *exit_with_test(void *unused)
{
	char byte;
	(void)unused;
	while (read(STDIN_FILENO, &byte, 1) > 0) {
	}
	_exit(0);
}

__attribute__((constructor)) static void start(void)
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, exit_with_test, NULL) == 0)
		pthread_detach(thread);
}
