/* The workload: calls of one kind, flat out.
 *
 *     writer [-n CALLS] [-d SECONDS] [-s SIZE] [-t THREADS] [-o null|pipe|tcp|FILE] [-c write|getppid]
 *
 * Each thread writes SIZE bytes over and over to a descriptor of its own: /dev/null, a pipe or a TCP
 * connection over loopback, each read by a child that throws away what it gets, or a file, from its
 * beginning again after 64 MiB. With `-c getppid` it makes that call instead, which nobody records.
 * It ends after so many calls of all threads or after so many seconds, whichever comes first; 0 is no limit.
 *
 * It says "ready PID" and waits for a byte on standard input, so that what a recorder needs to start
 * can be told from what it needs to record. At the end it prints its calls, the nanoseconds
 * from the first to the last, the nanoseconds and the nanoseconds of CPU time that each thread took,
 * added up, and the microseconds of CPU time of the process and its children.
 *
 * It prints with writev(2): what is recorded of write(2) is the workload and nothing else.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_AT_CLOCK_EVERY = 1024, MOST_SIZE = 1 << 20, MOST_THREADS = 64 };
static const long long FILE_BYTES = 64LL << 20;

struct worker {
	pthread_t thread;
	int sink;
	long long most, calls, took_ns, cpu_ns;
};

static long long limit_ns;
static size_t size = 64;
static int is_file, asks;
static char payload[MOST_SIZE];
static pthread_barrier_t together;

static long long time_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static long long used_us(int whose)
{
	struct rusage usage;

	getrusage(whose, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000LL +
	       usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void say(const char *line)
{
	struct iovec all = {.iov_base = (void *)line, .iov_len = strlen(line)};

	if (writev(STDOUT_FILENO, &all, 1) != (ssize_t)all.iov_len)
		exit(1);
}

/* Lets a child read all that comes out of a descriptor; returns the other end. */
static int drained(int out, int in)
{
	static char buffer[1 << 18];
	pid_t child = fork();

	if (child < 0)
		fail("fork");
	if (child == 0) {
		close(in);
		while (read(out, buffer, sizeof(buffer)) > 0)
			;
		_exit(0);
	}
	close(out);
	return in;
}

static int to_pipe(void)
{
	int ends[2];

	if (pipe(ends))
		fail("pipe");
	return drained(ends[0], ends[1]);
}

static int to_tcp(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&address, &length) ||
	    connect(client, (struct sockaddr *)&address, length))
		fail("tcp");
	int server = accept(listener, NULL, NULL);

	if (server < 0)
		fail("accept");
	close(listener);
	return drained(server, client);
}

static int opened(const char *where)
{
	if (!strcmp(where, "pipe"))
		return to_pipe();
	if (!strcmp(where, "tcp"))
		return to_tcp();
	is_file = strcmp(where, "null") != 0;
	int sink = open(is_file ? where : "/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (sink < 0)
		fail(where);
	return sink;
}

static void call(struct worker *my)
{
	if (asks) {
		syscall(SYS_getppid);
	} else {
		for (size_t done = 0; ; ) {
			ssize_t wrote = write(my->sink, payload, size - done);

			if (wrote < 0)
				fail("write");
			done += wrote;
			if (done == size)
				break;
			my->calls++; /* a short write: another call has the rest */
		}
		if (is_file && my->calls % (FILE_BYTES / (size ? size : 1)) == 0)
			lseek(my->sink, 0, SEEK_SET);
	}
	my->calls++;
}

static void *work(void *mine)
{
	struct worker *my = mine;

	pthread_barrier_wait(&together);
	long long start = time_ns(CLOCK_MONOTONIC), cpu_start = time_ns(CLOCK_THREAD_CPUTIME_ID);

	while (!my->most || my->calls < my->most) {
		if (limit_ns && my->calls % LOOK_AT_CLOCK_EVERY == 0 && time_ns(CLOCK_MONOTONIC) - start >= limit_ns)
			break;
		call(my);
	}
	my->took_ns = time_ns(CLOCK_MONOTONIC) - start;
	my->cpu_ns = time_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_start;
	close(my->sink);
	return NULL;
}

int main(int argc, char **argv)
{
	static struct worker workers[MOST_THREADS];
	const char *where = "null";
	long long most = 0, calls = 0, took_ns = 0, cpu_ns = 0;
	int threads = 1, option;
	char gate, line[128];

	while ((option = getopt(argc, argv, "n:d:s:t:o:c:")) != -1) {
		switch (option) {
		case 'n': most = atoll(optarg); break;
		case 'd': limit_ns = atof(optarg) * 1e9; break;
		case 's': size = strtoul(optarg, NULL, 10); break;
		case 't': threads = atoi(optarg); break;
		case 'o': where = optarg; break;
		case 'c': asks = !strcmp(optarg, "getppid"); break;
		default: return 2;
		}
	}
	if (size > MOST_SIZE || threads < 1 || threads > MOST_THREADS)
		return 2;
	memset(payload, 'x', size);
	pthread_barrier_init(&together, NULL, threads + 1);
	for (int n = 0; n < threads; n++)
		workers[n] = (struct worker){.sink = opened(where), .most = most / threads};
	snprintf(line, sizeof(line), "ready %d\n", (int)getpid());
	say(line);
	if (read(STDIN_FILENO, &gate, 1) != 1)
		return 1;
	for (int n = 0; n < threads; n++)
		if (pthread_create(&workers[n].thread, NULL, work, &workers[n]))
			fail("pthread_create");
	pthread_barrier_wait(&together);
	long long start = time_ns(CLOCK_MONOTONIC);

	for (int n = 0; n < threads; n++) {
		pthread_join(workers[n].thread, NULL);
		calls += workers[n].calls;
		took_ns += workers[n].took_ns;
		cpu_ns += workers[n].cpu_ns;
	}
	long long wall_ns = time_ns(CLOCK_MONOTONIC) - start;

	while (wait(NULL) > 0)
		;
	snprintf(line, sizeof(line), "%lld %lld %lld %lld %lld\n", calls, wall_ns, took_ns, cpu_ns,
		 used_us(RUSAGE_SELF) + used_us(RUSAGE_CHILDREN));
	say(line);
	return 0;
}
