/* The floor: about the least that a client of many event streams can do. It waits for sockets with epoll, reads what
 * they have, counts token events by their text, and sends the request again when the last chunk has come. It parses
 * nothing, records nothing, checks nothing: what a load tester costs above it is the price of what it knows.
 *
 *   floor PORT STREAMS SECONDS      to 127.0.0.1; prints one JSON line
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 512, BUFFER = 256 * 1024 };

static const char BODY[] =
    "{\"model\":\"mock-7b\",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"max_tokens\":128,"
    "\"messages\":[{\"role\":\"user\",\"content\":\"Count the waves until the lamp goes out.\"}]}";
static const char TOKEN[] = "\"delta\":{\"content\":\"";
static const char LAST[] = "\r\n0\r\n\r\n";

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double cpu(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int dial(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to))
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return fprintf(stderr, "usage: floor PORT STREAMS SECONDS\n"), 2;
    int port = atoi(argv[1]), streams = atoi(argv[2]);
    char request[1024];
    int length = snprintf(request, sizeof request,
                          "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                          "Content-Length: %zu\r\n\r\n%s", strlen(BODY), BODY);
    int poll = epoll_create1(0), open = 0;
    for (int i = 0; i < streams; i++) {
        int fd = dial(port);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) || write(fd, request, length) != length)
            die("request");
        open++;
    }
    static char buffer[BUFFER];
    struct epoll_event ready[BATCH];
    double end = seconds() + atof(argv[3]), begun = cpu();
    long events = 0, requests = 0;
    while (open > 0) {
        int n = epoll_wait(poll, ready, BATCH, 1000);
        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < n; i++) {
            int fd = ready[i].data.fd;
            ssize_t size = recv(fd, buffer, BUFFER, MSG_DONTWAIT);
            if (size < 0 && errno == EAGAIN)
                continue;
            if (size <= 0) {
                close(fd);
                open--;
                continue;
            }
            for (char *at = buffer, *found; (found = memmem(at, buffer + size - at, TOKEN, sizeof TOKEN - 1)); at = found + 1)
                events += found[sizeof TOKEN - 1] != '"'; /* the role chunk has the empty string */
            if (size >= (ssize_t)sizeof LAST - 1 && !memcmp(buffer + size - sizeof LAST + 1, LAST, sizeof LAST - 1)) {
                requests++;
                if (seconds() < end && write(fd, request, length) == length)
                    continue;
                close(fd);
                open--;
            }
        }
    }
    printf("{\"requests\": %ld, \"events\": %ld, \"cpu_s\": %.6f}\n", requests, events, cpu() - begun);
    return 0;
}
