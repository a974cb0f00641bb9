/* The workload: writes of 64 bytes to /dev/null, flat out.
 *
 *     writer WRITES SECONDS
 *
 * It ends after so many writes or seconds, whichever comes first; 0 is no limit. It says "ready" and
 * waits for a byte on standard input, so that what a recorder needs to start can be told from what it
 * needs to record. At the end it prints its writes, the nanoseconds they took, and the
 * microseconds of CPU time that the whole process used.
 *
 * It prints with writev(2): what is recorded of write(2) is the workload and nothing else.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 64, LOOK_AT_CLOCK_EVERY = 1024 };

static long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static long long used_us(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000LL +
	       usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

static void say(const char *line)
{
	struct iovec all = {.iov_base = (void *)line, .iov_len = strlen(line)};

	if (writev(STDOUT_FILENO, &all, 1) != (ssize_t)all.iov_len)
		exit(1);
}

int main(int argc, char **argv)
{
	char payload[SIZE], gate, line[128];
	int sink = open("/dev/null", O_WRONLY);

	if (argc != 3 || sink < 0)
		return 2;
	long long most = atoll(argv[1]), limit_ns = atoll(argv[2]) * 1000000000LL, written = 0;

	memset(payload, 'x', SIZE);
	say("ready\n");
	if (read(STDIN_FILENO, &gate, 1) != 1)
		return 1;
	long long start = now_ns();
	while (!most || written < most) {
		if (limit_ns && written % LOOK_AT_CLOCK_EVERY == 0 && now_ns() - start >= limit_ns)
			break;
		if (write(sink, payload, SIZE) != SIZE)
			return 1;
		written++;
	}
	long long took = now_ns() - start;

	snprintf(line, sizeof(line), "%lld %lld %lld\n", written, took, used_us());
	say(line);
	return 0;
}
