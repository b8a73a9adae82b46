/* Load generator: many Socket.IO clients over WebSocket in one thread, every delivery timed.
 *
 *     load PORT CLIENTS SCENARIO [ARGUMENT …]
 *
 *     connect                  connect all, 64 at a time; how many a second
 *     hold                     connect all, print "ready", wait for a line on stdin (somebody measures the server meanwhile)
 *     broadcast ROUNDS BYTES   one client asks, all get one event; time until the last has it
 *     burst ROUNDS COUNT       one client asks, all get COUNT events; deliveries a second
 *     ack SECONDS DEPTH        every client keeps DEPTH events with an ack under way; answers a second
 *     rooms SECONDS RATE       RATE events a second, each into a room of ten; time of each delivery
 *
 * A token for the handshake is read from the environment (AUTH: the JSON of Socket.IO's `auth`). One JSON object on stdout.
 * It shares the machine with what it measures, so it is lean: epoll, no allocation a message, no copy but the kernel's.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { OPENING, UPGRADING, JOINING, LIVE };
enum { PARALLEL = 64, READ = 1 << 18, ROOM = 10 };

struct client {
    int fd, state;
    long acks;          /* answers so far; also the id of the next event */
    unsigned char *rest;/* bytes of an unfinished frame */
    size_t have, room;
};

static struct client *clients;
static int count, live, opening, next_to_open, epoll_fd, port;
static const char *auth;
static long delivered, answered;
static int keep_asking;   /* answer each answer with the next event */
static double started_at, last_at;
static double *latencies;
static size_t latency_count, latency_room;
static int timing;       /* record each delivery's latency from the time in its payload */
static unsigned char input[READ];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void record(double seconds) {
    if (latency_count == latency_room) {
        latency_room = latency_room ? latency_room * 2 : 1 << 16;
        latencies = realloc(latencies, latency_room * sizeof *latencies);
    }
    latencies[latency_count++] = seconds;
}

/* A masked text frame (RFC 6455 5.2); the mask is zero, which is allowed and leaves the text as it is. */
static void send_text(struct client *c, const char *text, size_t size) {
    unsigned char frame[8192];
    size_t head = 0;
    frame[head++] = 0x81;
    if (size < 126) {
        frame[head++] = 0x80 | size;
    } else {
        frame[head++] = 0x80 | 126;
        frame[head++] = size >> 8;
        frame[head++] = size & 255;
    }
    memset(frame + head, 0, 4);
    head += 4;
    if (head + size > sizeof frame) { errno = EMSGSIZE; fail("frame"); }
    memcpy(frame + head, text, size);
    if (write(c->fd, frame, head + size) != (ssize_t)(head + size)) fail("write");
}

static void open_next(void) {
    if (next_to_open >= count) return;
    struct client *c = &clients[next_to_open++];
    /* 28,000 ports an address pair: spread over several loopback addresses. */
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + next_to_open / 20000)};
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) fail("socket");
    int on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);   /* a port search at bind takes milliseconds */
    if (bind(c->fd, (void *)&here, sizeof here)) fail("bind");
    if (connect(c->fd, (void *)&there, sizeof there) && errno != EINPROGRESS) fail("connect");
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e);
    opening++;
}

static void send_upgrade(struct client *c) {
    char head[512];
    int size = snprintf(head, sizeof head,
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n", port);
    if (write(c->fd, head, size) != size) fail("write");
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
    c->state = UPGRADING;
}

static void ask_echo(struct client *c) {
    char text[64];
    send_text(c, text, snprintf(text, sizeof text, "42%ld[\"echo\",\"0123456789\"]", c->acks++));
}

static void on_text(struct client *c, const unsigned char *text, size_t size) {
    if (size && text[0] == '2') {
        send_text(c, "3", 1);
    } else if (c->state == JOINING && size && text[0] == '0') {
        char hello[4096];
        send_text(c, hello, snprintf(hello, sizeof hello, "40%s", auth));
    } else if (c->state == JOINING && size > 1 && text[1] == '0') {
        c->state = LIVE;
        live++;
        opening--;
        open_next();
    } else if (c->state == JOINING && size > 1 && text[1] == '4') {
        fprintf(stderr, "load: refused: %.*s\n", (int)size, text);
        exit(1);
    } else if (size > 1 && text[1] == '2') {
        delivered++;
        last_at = now();
        if (timing) {                            /* 42["tick",{"t":123456789,… : microseconds of our clock */
            const unsigned char *t = memmem(text, size, "\"t\":", 4);
            if (t) record(last_at - strtoll((const char *)t + 4, NULL, 10) / 1e6);
        }
    } else if (size > 1 && text[1] == '3') {
        answered++;
        if (keep_asking) ask_echo(c);
    }
}

/* Takes whole frames off `data`; returns how many bytes it took. */
static size_t take_frames(struct client *c, const unsigned char *data, size_t size) {
    size_t at = 0;
    while (size - at >= 2) {
        size_t head = 2, length = data[at + 1] & 127;
        if (length == 126) {
            if (size - at < 4) break;
            length = data[at + 2] << 8 | data[at + 3];
            head = 4;
        } else if (length == 127) {
            if (size - at < 10) break;
            length = 0;
            for (int i = 2; i < 10; i++) length = length << 8 | data[at + i];
            head = 10;
        }
        if (size - at < head + length) break;
        if ((data[at] & 15) == 8) { fprintf(stderr, "load: the server closed a connection\n"); exit(1); }
        on_text(c, data + at + head, length);
        at += head + length;
    }
    return at;
}

static void on_bytes(struct client *c, unsigned char *data, size_t size) {
    if (c->state == UPGRADING) {
        unsigned char *end = memmem(data, size, "\r\n\r\n", 4);
        if (!end) fail("answer to the upgrade");
        if (memcmp(data, "HTTP/1.1 101", 12)) { fprintf(stderr, "load: %.*s\n", (int)size, data); exit(1); }
        c->state = JOINING;
        size -= end + 4 - data;
        data = end + 4;
    }
    if (c->have) {
        if (c->have + size > c->room) c->rest = realloc(c->rest, c->room = (c->have + size) * 2);
        memcpy(c->rest + c->have, data, size);
        c->have += size;
        size_t took = take_frames(c, c->rest, c->have);
        memmove(c->rest, c->rest + took, c->have -= took);
        return;
    }
    size_t took = take_frames(c, data, size);
    if (took < size) {
        if (size - took > c->room) c->rest = realloc(c->rest, c->room = (size - took) * 2);
        memcpy(c->rest, data + took, c->have = size - took);
    }
}

/* One round of events; waits at most `ms`. */
static void turn(int ms) {
    static struct epoll_event events[1024];
    int n = epoll_wait(epoll_fd, events, 1024, ms);
    for (int i = 0; i < n; i++) {
        struct client *c = events[i].data.ptr;
        if (c->state == OPENING) {
            if (events[i].events & (EPOLLERR | EPOLLHUP)) fail("connect");
            send_upgrade(c);
            continue;
        }
        ssize_t size = read(c->fd, input, sizeof input);
        if (size == 0) { fprintf(stderr, "load: the server hung up\n"); exit(1); }
        if (size < 0) { if (errno == EAGAIN) continue; fail("read"); }
        on_bytes(c, input, size);
    }
}

static void until(long *what, long value, double seconds) {
    double end = now() + seconds;
    while (*what < value) {
        turn(1000);
        if (now() > end) { fprintf(stderr, "load: %ld of %ld after %.0f s\n", *what, value, seconds); exit(1); }
    }
}

static double connect_all(void) {
    double start = now();
    for (int i = 0; i < PARALLEL && i < count; i++) open_next();
    double end = start + 120;
    while (live < count) {
        turn(1000);
        if (now() > end) { fprintf(stderr, "load: %d of %d connected\n", live, count); exit(1); }
    }
    return now() - start;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double q) {
    return latency_count ? latencies[(size_t)(q * (latency_count - 1))] : 0;
}

static void print_latencies(void) {
    qsort(latencies, latency_count, sizeof *latencies, ascending);
    printf("\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f", quantile(.5) * 1e3, quantile(.99) * 1e3, quantile(1) * 1e3);
}

static void broadcast(int rounds, int bytes) {
    char text[8192], pad[4096] = {0};
    if (bytes > (int)sizeof pad - 1) bytes = sizeof pad - 1;
    memset(pad, 'x', bytes);
    int size = snprintf(text, sizeof text, "42[\"broadcast\",\"%s\"]", pad);
    for (int i = 0; i < rounds + 1; i++) {
        delivered = 0;
        started_at = now();
        send_text(&clients[0], text, size);
        until(&delivered, count, 60);
        if (i) record(last_at - started_at);     /* the first warms up */
        turn(20);
    }
    printf("{\"clients\":%d,\"rounds\":%d,", count, rounds);
    print_latencies();
    puts("}");
}

static void burst(int rounds, int events) {
    char text[64];
    int size = snprintf(text, sizeof text, "42[\"burst\",%d]", events);
    double best = 0, sum = 0;
    for (int i = 0; i < rounds + 1; i++) {
        delivered = 0;
        started_at = now();
        send_text(&clients[0], text, size);
        until(&delivered, (long)count * events, 120);
        double rate = delivered / (last_at - started_at);
        if (i) { sum += rate; best = rate > best ? rate : best; }
        turn(20);
    }
    printf("{\"clients\":%d,\"events\":%d,\"deliveries_per_s\":%.0f,\"best\":%.0f}\n", count, events, sum / rounds, best);
}

static void ack(double seconds, int depth) {
    keep_asking = 1;
    for (int d = 0; d < depth; d++) for (int i = 0; i < count; i++) ask_echo(&clients[i]);
    double warm = now() + 0.5;
    while (now() < warm) turn(100);
    long before = answered;
    double start = now();
    while (now() < start + seconds) turn(100);
    printf("{\"clients\":%d,\"acks_per_s\":%.0f}\n", count, (answered - before) / (now() - start));
}

static void rooms(double seconds, int rate) {
    timing = 1;
    double start = now();
    long sent = 0;
    while (now() < start + seconds) {
        while (sent < (now() - start) * rate) {
            char text[128];
            int c = (sent * 7919) % count;
            send_text(&clients[c], text, snprintf(text, sizeof text, "42[\"room\",%d,%lld]", c / ROOM, (long long)(now() * 1e6)));
            sent++;
        }
        turn(1);
    }
    until(&delivered, sent * ROOM, 30);
    printf("{\"clients\":%d,\"rate\":%d,\"deliveries\":%ld,", count, rate, delivered);
    print_latencies();
    puts("}");
}

int main(int argc, char **argv) {
    if (argc < 4) { fputs("usage: load PORT CLIENTS SCENARIO [ARGUMENT ...]\n", stderr); return 2; }
    port = atoi(argv[1]);
    count = atoi(argv[2]);
    auth = getenv("AUTH") ? getenv("AUTH") : "";
    double a = argc > 4 ? atof(argv[4]) : 0, b = argc > 5 ? atof(argv[5]) : 0;
    struct rlimit files = {count + 64, count + 64}, have;
    getrlimit(RLIMIT_NOFILE, &have);
    if (have.rlim_cur < files.rlim_cur && setrlimit(RLIMIT_NOFILE, &files)) fail("too few descriptors");
    clients = calloc(count, sizeof *clients);
    epoll_fd = epoll_create1(0);
    double took = connect_all();
    const char *what = argv[3];
    if (!strcmp(what, "connect")) {
        printf("{\"clients\":%d,\"seconds\":%.3f,\"connects_per_s\":%.0f}\n", count, took, count / took);
    } else if (!strcmp(what, "hold")) {
        puts("ready");
        fflush(stdout);
        struct epoll_event line = {.events = EPOLLIN, .data.ptr = NULL};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, 0, &line);
        for (;;) {
            struct epoll_event events[256];
            int n = epoll_wait(epoll_fd, events, 256, -1);
            for (int i = 0; i < n; i++) {
                if (!events[i].data.ptr) return 0;
                struct client *c = events[i].data.ptr;
                ssize_t size = read(c->fd, input, sizeof input);
                if (size <= 0) fail("a connection ended while held");
                on_bytes(c, input, size);
            }
        }
    } else if (!strcmp(what, "broadcast")) {
        broadcast(a, b);
    } else if (!strcmp(what, "burst")) {
        burst(a, b);
    } else if (!strcmp(what, "ack")) {
        ack(a, b);
    } else if (!strcmp(what, "rooms")) {
        rooms(a, b);
    } else {
        fprintf(stderr, "load: no scenario %s\n", what);
        return 2;
    }
    return 0;
}
