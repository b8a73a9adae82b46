/* The clients' connections: opened, read and written on one epoll. No allocation a message, no copy but the kernel's. */
#include "load.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { OPENING, UPGRADING, JOINING, LIVE, BROKEN, AWAY };
enum { MOST = 1 << 16, READ = 1 << 18, ADDRESS_PORTS = 20000, MESSAGE = 1 << 15, CONNECTING_S = 120 };

struct client *clients;
long live;
int stdin_is_ready, may_break;
long breaks, refusals;
double broke_at, backoff_s = 1;
int first_address;
static long started;              /* clients whose connection was begun */
static int loop, port;
static const struct dialect *dialect;
static unsigned char input[READ];

void listen_to(int at, const struct dialect *speaks) {
    port = at;
    dialect = speaks;
    clients = calloc(MOST, sizeof *clients);
    loop = epoll_create1(0);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max < MOST ? files.rlim_max : MOST;
    setrlimit(RLIMIT_NOFILE, &files);
}

void watch_stdin(void) {
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(loop, EPOLL_CTL_ADD, 0, &e);
}

/* A masked frame (RFC 6455 5.2); the mask is zero, which is allowed and leaves the payload as it is. */
static void send_frame(struct client *c, int opcode, const void *payload, size_t size) {
    static unsigned char frame[MESSAGE + 16];
    if (size > MESSAGE) fail("a message of %zu bytes", size);
    size_t head = 0;
    frame[head++] = 0x80 | opcode;
    if (size < 126) {
        frame[head++] = 0x80 | size;
    } else {
        frame[head++] = 0x80 | 126;
        frame[head++] = size >> 8;
        frame[head++] = size & 255;
    }
    memset(frame + head, 0, 4);
    head += 4;
    memcpy(frame + head, payload, size);
    if (write(c->fd, frame, head + size) == (ssize_t)(head + size)) return;
    if (!may_break) fail("write: %s", strerror(errno));
}

void send_text(struct client *c, const char *text, size_t size) { send_frame(c, 1, text, size); }

static void open_connection(struct client *c) {
    /* 28,000 ports an address pair: spread over several loopback addresses. */
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + first_address + c->index / ADDRESS_PORTS)};
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) fail("socket: %s", strerror(errno));
    int on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);   /* a port search at bind takes milliseconds */
    if (bind(c->fd, (void *)&here, sizeof here)) fail("bind: %s", strerror(errno));
    if (connect(c->fd, (void *)&there, sizeof there) && errno != EINPROGRESS) fail("connect: %s", strerror(errno));
    c->state = OPENING;
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    epoll_ctl(loop, EPOLL_CTL_ADD, c->fd, &e);
}

static void begin_next(void) {
    struct client *c = &clients[started];
    c->index = started++;
    open_connection(c);
}

void break_off(struct client *c) {
    live -= c->state == LIVE;
    c->state = BROKEN;
}

/* As socket.io-client does by default: again after 1 s, 2 s, 4 s, then each 5 s, give or take a half. */
static void go_away(struct client *c) {
    double delay = backoff_s * (c->tries < 3 ? 1 << c->tries : 5);
    close(c->fd);
    c->tries++;
    c->have = 0;
    c->state = AWAY;
    c->again_at = now() + delay * (.5 + drand48());
}

/* The connection has come to its end; where that is not part of the plan, so does everything. */
static void lose(struct client *c, const char *why) {
    if (!may_break) fail("client %ld: %s", c->index, why);
    if (c->tries) refusals++;
    else breaks++;
    if (!broke_at) broke_at = now();
    go_away(c);
}

void come_back(void) {
    double at = now();
    for (long i = 0; i < started; i++) {
        struct client *c = &clients[i];
        if (c->state == AWAY && c->again_at <= at) open_connection(c);
    }
}

void connect_more(long count, int at_once, double per_s, double *seconds) {
    double began = now();
    long before = live, wanted = live + count;
    if (wanted > MOST) fail("more than %d clients", MOST);
    while (live < wanted) {
        double elapsed = now() - began;
        while (started < wanted && started - live < at_once && (per_s == 0 || started - before < 1 + elapsed * per_s)) begin_next();
        turn(per_s == 0 ? 1000 : 1);
        if (elapsed > CONNECTING_S) fail("%ld of %ld connected after %.0f s", live, wanted, elapsed);
    }
    *seconds = now() - began;
}

void is_live(struct client *c) {
    if (c->state != JOINING) fail("client %ld was let in twice", c->index);
    c->state = LIVE;
    live++;
    if (c->tries) is_back(c);
}

static void upgrade(struct client *c) {
    char head[512];
    int size = snprintf(head, sizeof head,
        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n", dialect->path, port);
    if (write(c->fd, head, size) != size && !may_break) fail("write: %s", strerror(errno));
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(loop, EPOLL_CTL_MOD, c->fd, &e);
    c->state = UPGRADING;
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
        int opcode = data[at] & 15;
        if (opcode == 8) break_off(c);
        else if (opcode == 9) send_frame(c, 10, data + at + head, length);
        else dialect->heard(c, (const char *)data + at + head, length);
        at += head + length;
    }
    return at;
}

static void on_bytes(struct client *c, unsigned char *data, size_t size) {
    if (c->state == UPGRADING) {
        unsigned char *end = memmem(data, size, "\r\n\r\n", 4);
        if (!end || memcmp(data, "HTTP/1.1 101", 12)) {
            if (!may_break) fail("the upgrade was answered with: %.*s", (int)size, data);
            break_off(c);
            return;
        }
        c->state = JOINING;
        size -= end + 4 - data;
        data = end + 4;
        dialect->opened(c);
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

int turn(int ms) {
    static struct epoll_event events[1024];
    int n = epoll_wait(loop, events, 1024, ms);
    for (int i = 0; i < n; i++) {
        struct client *c = events[i].data.ptr;
        if (!c) {
            stdin_is_ready = 1;
        } else if (c->state == OPENING) {
            if (events[i].events & (EPOLLERR | EPOLLHUP)) lose(c, "the connection was refused");
            else upgrade(c);
        } else if (c->state != AWAY) {
            ssize_t size = read(c->fd, input, sizeof input);
            if (size > 0) on_bytes(c, input, size);
            int has_ended = size == 0 || (size < 0 && errno != EAGAIN) || c->state == BROKEN;
            if (!has_ended) continue;
            break_off(c);
            lose(c, size == 0 ? "the server hung up" : size < 0 ? strerror(errno) : "the server closed the connection");
        }
    }
    return n;
}
