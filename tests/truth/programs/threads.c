/*
 * Eight threads write at once, each so many times, with sizes from 0 to about 9,000 bytes: to a file
 * at places of their own, to a socket, and to standard output, where all of them meet. What is in
 * the payloads tells thread and turn.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { THREADS = 8, LARGEST = 9001 };

static int file, sockets[2], turns;

static void *drain(void *unused)
{
    char buffer[1 << 16];

    while (read(sockets[0], buffer, sizeof buffer) > 0)
        ;
    return unused;
}

static void *perform(void *argument)
{
    long thread = (long)argument;
    char buffer[LARGEST];

    for (int turn = 0; turn < turns; turn++) {
        size_t size = (size_t)(turn * 131 + thread * 17) % LARGEST;
        struct iovec halves[] = {{buffer, size / 2}, {buffer + size / 2, size - size / 2}};

        memset(buffer, 'A' + (int)(turn + thread) % 26, size);
        if (pwrite(file, buffer, size, (thread * turns + turn) * (off_t)LARGEST) != (ssize_t)size ||
            writev(sockets[1], halves, 2) != (ssize_t)size ||
            write(STDOUT_FILENO, buffer, size) < 0)
            abort();
    }
    return NULL;
}

int main(int count, char **arguments)
{
    pthread_t threads[THREADS], reader;

    turns = count > 1 ? atoi(arguments[1]) : 1;
    file = open("places", O_RDWR | O_CREAT, 0600);
    if (file < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0)
        abort();
    pthread_create(&reader, NULL, drain, NULL);
    for (long thread = 0; thread < THREADS; thread++)
        pthread_create(&threads[thread], NULL, perform, (void *)thread);
    for (int thread = 0; thread < THREADS; thread++)
        pthread_join(threads[thread], NULL);
    shutdown(sockets[1], SHUT_RDWR);
    pthread_join(reader, NULL);
    return 0;
}
