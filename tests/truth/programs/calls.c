/*
 * Makes each of the calls that write: with sizes around those at which something changes, with data
 * in memory that is not there, with many segments, and with every error that is easily had.
 *
 * Prints what each returned; nothing but an argument, the round, makes one run unlike another.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, LARGE = 16 << 20, SEGMENTS = 1024, CLOSED = 999 };

#define TELL(call) tell(#call, (call))
#define REQUIRE(condition) ((condition) ? (void)0 : give_up(#condition))

static const size_t SIZES[] = {
    0, 1, 2, 7, 8, 9, 63, 64, 65, 255, 256, 511, 512, 1023, 1024, 2047, 2048, 4095, 4096, 4097,
    8191, 8192, 8193, 12289, 16383, 16384, 32767, 32768, 32769, 65535, 65536, 65537, 262143, 1048577,
};
enum { SIZE_COUNT = sizeof SIZES / sizeof *SIZES };

static char *data;        /* LARGE bytes that do not repeat at a power of two */
static char *hole;        /* an address with nothing there, two pages of data before it */
static int file, devnull; /* a regular file; /dev/null */

static void give_up(const char *what)
{
    perror(what);
    exit(1);
}

static void tell(const char *call, ssize_t returned)
{
    int error = errno;

    if (returned < 0)
        printf("%s = %s\n", call, strerrorname_np(error));
    else
        printf("%s = %zd\n", call, returned);
}

static void fill(int round)
{
    unsigned state = 2463534242u + (unsigned)round;

    data = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(data != MAP_FAILED);
    for (size_t place = 0; place < LARGE; place++) {
        state = state * 1664525 + 1013904223;
        data[place] = (char)(state >> 24);
    }
    hole = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(hole != MAP_FAILED);
    memcpy(hole, data, 2 * PAGE);
    hole += 2 * PAGE;
    REQUIRE(munmap(hole, PAGE) == 0);
}

/* Returns the end of a new pipe that is written to; the other is given in `reading`. */
static int new_pipe(int capacity, int *reading)
{
    int ends[2];

    REQUIRE(pipe(ends) == 0);
    REQUIRE(fcntl(ends[1], F_SETPIPE_SZ, capacity) >= capacity);
    *reading = ends[0];
    return ends[1];
}

static void one_buffer(void)
{
    for (int i = 0; i < SIZE_COUNT; i++) {
        TELL(write(file, data + i, SIZES[i]));
        TELL(write(devnull, data + i, SIZES[i]));
        TELL(pwrite(file, data + i, SIZES[i], (off_t)i << 20));
        TELL(write(file, hole - SIZES[i] % PAGE, SIZES[i] % PAGE));
    }
    TELL(write(file, data, LARGE));
    TELL(pwrite(file, data, LARGE, 1));
    TELL(pwrite(file, "far", 3, 1LL << 40));
    TELL(pwrite(file, "before", 6, -1));
    TELL(pwrite(CLOSED, "x", 1, 0));
}

static void unreadable_memory(void)
{
    TELL(write(file, hole, 5));
    TELL(write(file, hole - 5, 10));
    TELL(write(file, NULL, 3));
    TELL(write(devnull, NULL, 0));
    TELL(pwrite(file, hole - PAGE, 2 * PAGE, 0));
    struct iovec segments[] = {{"ab", 2}, {hole - 3, 6}, {"cd", 2}};
    TELL(writev(file, segments, 3));
    TELL(pwritev(file, segments, 3, 7));
    TELL(writev(file, segments, 1));
    TELL(writev(file, (void *)hole, 2));
    memcpy(hole - sizeof *segments, segments, sizeof *segments);
    TELL(writev(file, (void *)(hole - sizeof *segments), 2));
}

static void failures(void)
{
    char page[PAGE] = {1};
    int reading, writing = new_pipe(PAGE, &reading);

    REQUIRE(fcntl(writing, F_SETFL, O_NONBLOCK) == 0);
    TELL(write(writing, data, 3 * PAGE));
    TELL(write(writing, "no room", 7));
    TELL(writev(writing, &(struct iovec){"no room", 7}, 1));
    close(reading);
    TELL(write(writing, "nobody", 6));
    TELL(write(CLOSED, "nowhere", 7));
    TELL(write(-1, "nowhere", 7));
    TELL(write(open("/dev/null", O_RDONLY), "not for writing", 15));
    TELL(write(open("/dev/full", O_WRONLY), page, sizeof page));
    TELL(write(open(".", O_RDONLY), "a folder", 8));
}

static void vectors(void)
{
    static struct iovec segments[SEGMENTS + 1];
    int reading, writing = new_pipe(1 << 20, &reading);

    for (int i = 0; i <= SEGMENTS; i++)
        segments[i] = (struct iovec){data + i * 509, (size_t)(i * 37 % 257)};
    for (int count = 0; count <= 70; count += 7)
        TELL(writev(file, segments, count));
    TELL(writev(writing, segments, SEGMENTS));
    TELL(writev(devnull, segments, SEGMENTS));
    TELL(writev(file, segments, SEGMENTS + 1));
    TELL(writev(file, segments, -1));
    TELL(pwritev(file, segments + 5, 3, 11));
    TELL(pwritev(file, segments + 5, 3, -11));
    TELL(pwritev2(file, segments + 5, 3, 11, RWF_DSYNC));
    TELL(pwritev2(file, segments + 5, 3, -1, RWF_APPEND));
    TELL(pwritev2(file, segments + 5, 3, 5LL << 32, 0));
    TELL(writev(file, (struct iovec[]){{data, LARGE / 2}, {NULL, 0}, {data + 1, LARGE / 2}}, 3));
    TELL(writev(CLOSED, segments, 9));
    for (int i = 0; i < SIZE_COUNT; i++)
        TELL(writev(file, (struct iovec[]){{data + i, SIZES[i]}, {data, 3}, {data, SIZES[i]}}, 3));
}

static void *drain_socket(int receiving)
{
    static char buffer[1 << 20];

    while (recv(receiving, buffer, sizeof buffer, MSG_DONTWAIT) >= 0)
        ;
    return buffer;
}

static void messages(void)
{
    int pair[2], udp = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in discard = {AF_INET, htons(9), {htonl(INADDR_LOOPBACK)}, {0}};
    struct iovec segments[] = {{"one ", 4}, {NULL, 0}, {"two", 3}};
    struct msghdr header = {.msg_iov = segments, .msg_iovlen = 3};

    REQUIRE(udp >= 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    for (int i = 0; i < SIZE_COUNT; i++) {
        TELL(send(pair[0], data + i, SIZES[i], MSG_DONTWAIT));
        TELL(sendmsg(pair[0], &(struct msghdr){
            .msg_iov = (struct iovec[]){{data + i, SIZES[i]}, {data, 1}}, .msg_iovlen = 2}, MSG_DONTWAIT));
        drain_socket(pair[1]);
    }
    TELL(sendto(udp, "to nobody", 9, 0, (struct sockaddr *)&discard, sizeof discard));
    TELL(sendto(udp, data, 70000, 0, (struct sockaddr *)&discard, sizeof discard));
    TELL(sendto(pair[0], "x", 1, 0, (struct sockaddr *)&(struct sockaddr_un){AF_UNIX, "none"}, 7));
    header.msg_name = &discard;
    header.msg_namelen = sizeof discard;
    TELL(sendmsg(udp, &header, 0));
    header.msg_name = NULL;
    TELL(sendmsg(pair[0], &header, 0));
    TELL(sendmsg(file, &header, 0));
    TELL(sendmsg(CLOSED, &header, 0));
    TELL(sendmsg(pair[0], (void *)hole, 0));
    header.msg_iov = (void *)hole;
    TELL(sendmsg(pair[0], &header, 0));
    header.msg_iov = (struct iovec[]){{"ab", 2}, {hole - 3, 6}};
    header.msg_iovlen = 2;
    TELL(sendmsg(pair[0], &header, 0));
    close(pair[1]);
    TELL(send(pair[0], "nobody", 6, 0));
    TELL(send(pair[0], "nobody", 6, MSG_NOSIGNAL));
    TELL(send(devnull, "not a socket", 12, 0));
}

static void send_descriptor(int sending)
{
    union { struct cmsghdr header; char space[CMSG_SPACE(sizeof(int))]; } control = {0};
    struct iovec segment = {"with a descriptor", 17};
    struct msghdr header = {.msg_iov = &segment, .msg_iovlen = 1, .msg_control = &control,
                            .msg_controllen = sizeof control};

    *CMSG_FIRSTHDR(&header) = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&header)), &devnull, sizeof devnull);
    TELL(sendmsg(sending, &header, 0));
}

static void many_messages(void)
{
    static struct iovec segments[SEGMENTS];
    static struct mmsghdr headers[SEGMENTS];
    int pair[2], stream[2];

    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, stream) == 0);
    send_descriptor(pair[0]);
    for (int i = 0; i < SEGMENTS; i++) {
        segments[i] = (struct iovec){data + i * 101, (size_t)(i * 13 % 97)};
        headers[i].msg_hdr = (struct msghdr){.msg_iov = segments + i, .msg_iovlen = (size_t)(i % 4)};
    }
    for (unsigned count = 0; count < 8; count++) {
        TELL(sendmmsg(pair[0], headers, count, MSG_DONTWAIT));
        drain_socket(pair[1]);
    }
    TELL(sendmmsg(stream[0], headers, 1000, MSG_DONTWAIT));
    TELL(sendmmsg(pair[0], headers, 200, MSG_DONTWAIT)); /* the queue has room for a few */
    TELL(sendmmsg(pair[0], headers, 3, MSG_DONTWAIT));
    drain_socket(pair[1]);
    segments[2].iov_base = hole;
    TELL(sendmmsg(pair[0], headers + 1, 4, MSG_DONTWAIT)); /* the second cannot be read */
    TELL(sendmmsg(pair[0], headers + 2, 2, MSG_DONTWAIT));
    TELL(sendmmsg(CLOSED, headers + 5, 2, 0));
    TELL(sendmmsg(file, headers + 5, 2, 0));
    TELL(sendmmsg(pair[0], (void *)hole, 2, 0));
}

static void transfers(void)
{
    int reading, other, writing = new_pipe(1 << 20, &reading), copy = new_pipe(1 << 20, &other);
    off_t from = 5, to = 50000;

    TELL(sendfile(writing, file, &from, 12345));
    TELL(sendfile(writing, file, NULL, 3));
    TELL(sendfile(writing, file, &from, 0));
    TELL(sendfile(CLOSED, file, &from, 3));
    TELL(sendfile(writing, CLOSED, NULL, 3));
    TELL(sendfile(writing, file, (void *)hole, 3));
    TELL(tee(reading, copy, 1000, 0));
    TELL(tee(reading, file, 1000, 0));
    TELL(tee(other, other, 7, SPLICE_F_NONBLOCK));
    TELL(splice(file, &from, writing, NULL, 4321, 0));
    TELL(splice(reading, NULL, file, &to, 7777, SPLICE_F_MOVE | SPLICE_F_MORE));
    TELL(splice(reading, NULL, devnull, NULL, 77, 0));
    TELL(splice(reading, NULL, file, (void *)hole, 3, 0));
    TELL(splice(file, NULL, devnull, NULL, 3, 0));
    TELL(vmsplice(writing, (struct iovec[]){{data, 100}, {data + PAGE, 11}}, 2, 0));
    TELL(vmsplice(writing, (struct iovec[]){{hole, 9}}, 1, 0));
    TELL(vmsplice(file, (struct iovec[]){{data, 9}}, 1, 0));
    TELL(copy_file_range(file, &from, file, &to, 1234, 0));
    TELL(copy_file_range(file, &from, file, &to, 0, 0));
    TELL(copy_file_range(file, &from, CLOSED, &to, 9, 0));
    TELL(copy_file_range(file, &from, devnull, NULL, 9, 0));
}

static int handled[2]; /* a pipe that tells that a signal was handled */

static void handle(int signal)
{
    (void)signal;
    REQUIRE(write(handled[1], "!", 1) == 1);
}

/* Forks a child that blocks in a write to a full pipe; returns when it does. */
static pid_t blocked(int writing, const char *words)
{
    char path[64], state = 0;
    pid_t child;

    fflush(stdout);
    child = fork();
    if (child == 0) {
        ssize_t returned = write(writing, words, strlen(words));

        _exit(returned < 0 ? errno : (int)returned);
    }
    snprintf(path, sizeof path, "/proc/%d/stat", child);
    while (state != 'S') {
        FILE *stat = fopen(path, "r");

        REQUIRE(stat != NULL && fscanf(stat, "%*d (%*[^)]) %c", &state) == 1);
        fclose(stat);
    }
    return child;
}

static int status_of(pid_t child)
{
    int status;

    REQUIRE(waitpid(child, &status, 0) == child);
    return status;
}

static void interruptions(void)
{
    static char page[PAGE];
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
    int reading, writing = new_pipe(PAGE, &reading);
    char byte;
    pid_t child;

    REQUIRE(pipe(handled) == 0 && write(writing, page, sizeof page) == sizeof page);
    sigaction(SIGUSR1, &action, NULL);
    child = blocked(writing, "begun again");
    kill(child, SIGUSR1);
    REQUIRE(read(handled[0], &byte, 1) == 1 && read(reading, page, sizeof page) == sizeof page);
    TELL(status_of(child));

    REQUIRE(write(writing, page, PAGE - 11) == PAGE - 11);
    action.sa_flags = 0;
    sigaction(SIGUSR1, &action, NULL);
    child = blocked(writing, "interrupted");
    kill(child, SIGUSR1);
    TELL(status_of(child));

    child = blocked(writing, "cut down");
    kill(child, SIGKILL);
    TELL(status_of(child));
}

int main(int count, char **arguments)
{
    signal(SIGPIPE, SIG_IGN);
    fill(count > 1 ? atoi(arguments[1]) : 1);
    file = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    devnull = open("/dev/null", O_WRONLY);
    REQUIRE(file >= 0 && devnull >= 0);
    one_buffer();
    unreadable_memory();
    failures();
    vectors();
    messages();
    many_messages();
    transfers();
    interruptions();
    return 0;
}
