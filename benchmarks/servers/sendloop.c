/* The null server: what the kernel takes for the same deliveries when a program does nothing but send(2).
 *
 *     sendloop PORT [joined | lose | double | swap | stray]
 *
 * It speaks just enough Socket.IO for the load generator. One thread, one frame prepared once, one send(2) a recipient and
 * event; with `joined` one send(2) a recipient for a whole burst. The others are faults that the generator must notice: a single
 * delivery, the 50th, is left out, made twice, made after the recipient's next one, or made to somebody else.
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

enum { MOST = 1 << 16, READ = 1 << 17, FAULTY = 50 };
struct peer { int fd, is_upgraded; };
static struct peer *peers[MOST], *members[MOST];   /* members: by room, in the order of joining */
static int peer_count, member_count, is_joined;
static const char *fault = "";
static long deliveries;
static double ping_s;

static size_t put_head(unsigned char *out, size_t size) {
    out[0] = 0x81;
    if (size < 126) { out[1] = size; return 2; }
    out[1] = 126;
    out[2] = size >> 8;
    out[3] = size & 255;
    return 4;
}

static void put(struct peer *p, const unsigned char *data, size_t size) {
    for (size_t at = 0; at < size;) {
        ssize_t n = send(p->fd, data + at, size - at, MSG_NOSIGNAL);
        if (n > 0) at += n;
        else if (errno != EAGAIN) return;
    }
}

/* Anything but the plain delivery happens once, and only if a fault was asked for. */
static void deliver(struct peer *p, const unsigned char *data, size_t size) {
    static unsigned char late[READ];
    static struct peer *waits;
    static size_t late_size;
    int is_bad = *fault && p->is_upgraded && ++deliveries == FAULTY;
    if (is_bad && !strcmp(fault, "lose")) return;
    if (is_bad && !strcmp(fault, "stray")) p = peers[p == peers[0]];
    if (is_bad && !strcmp(fault, "swap")) {
        memcpy(late, data, late_size = size);
        waits = p;
        return;
    }
    put(p, data, size);
    if (is_bad && !strcmp(fault, "double")) put(p, data, size);
    if (p == waits) {
        put(p, late, late_size);
        waits = NULL;
    }
}

static void say(struct peer *p, const char *text) {
    unsigned char out[512];
    size_t size = strlen(text), head = put_head(out, size);
    memcpy(out + head, text, size);
    put(p, out, head + size);
}

/* 42["tick",ARGUMENT] as a frame */
static size_t tick(unsigned char *out, const char *argument, size_t size) {
    size_t head = put_head(out, size + 11);
    memcpy(out + head, "42[\"tick\",", 10);
    memcpy(out + head + 10, argument, size);
    out[head + 10 + size] = ']';
    return head + size + 11;
}

static void burst(const char *text) {
    static unsigned char out[READ];
    long n, count;
    long long t;
    if (sscanf(text, "{\"n\":%ld,\"t\":%lld,\"count\":%ld}", &n, &t, &count) != 3) return;
    size_t size = 0;
    for (long k = 0; k < count; k++) {
        char argument[96];
        size += tick(out + size, argument, snprintf(argument, sizeof argument, "{\"n\":%ld,\"t\":%lld}", n + k, t));
        if (is_joined && k < count - 1) continue;
        for (int i = 0; i < peer_count; i++) deliver(peers[i], out, size);
        size = 0;
    }
}

/* 42ID["NAME",ARGUMENTS]: the arguments, or NULL if it is another event */
static const char *arguments(const char *text, const char *name) {
    size_t size = strlen(name);
    return text[0] == '"' && !strncmp(text + 1, name, size) && text[size + 1] == '"' ? text + size + 3 : NULL;
}

static void on_text(struct peer *p, char *text, size_t size) {
    static unsigned char out[READ];
    const char *given;
    char *event, answer[128];
    text[size] = 0;
    if (!strncmp(text, "40", 2)) { say(p, "40{\"sid\":\"01234567890123456789\"}"); return; }
    if (strncmp(text, "42", 2)) return;
    long id = strtol(text + 2, &event, 10);
    event++;                                       /* after the `[` */
    char *end = text + size - 1;                   /* the `]` */
    if ((given = arguments(event, "broadcast"))) {
        size_t n = tick(out, given, end - given);
        for (int i = 0; i < peer_count; i++) deliver(peers[i], out, n);
    } else if ((given = arguments(event, "burst"))) {
        burst(given);
    } else if ((given = arguments(event, "room"))) {
        char *message;
        long room = strtol(given, &message, 10);
        size_t n = tick(out, message + 1, end - message - 1);
        for (int i = room * 10; i < room * 10 + 10 && i < member_count; i++) deliver(members[i], out, n);
    } else if ((given = arguments(event, "join"))) {
        members[member_count++] = p;               /* the generator asks in order, ten to a room */
        snprintf(answer, sizeof answer, "43%ld[true]", id);
        say(p, answer);
    } else if ((given = arguments(event, "echo"))) {
        snprintf(answer, sizeof answer, "43%ld[%.*s]", id, (int)(end - given), given);
        say(p, answer);
    }
}

static void on_frames(struct peer *p, unsigned char *data, size_t size) {
    for (size_t at = 0; size - at >= 6;) {
        size_t length = data[at + 1] & 127, head = 6;
        if (length == 126) { length = data[at + 2] << 8 | data[at + 3]; head = 8; }
        char saved = data[at + head + length];     /* the generator's mask is zero, and its frames come whole */
        on_text(p, (char *)data + at + head, length);
        data[at + head + length] = saved;
        at += head + length;
    }
}

static void begin(struct peer *p) {
    static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";
    p->is_upgraded = 1;
    put(p, (const unsigned char *)answer, sizeof answer - 1);
    say(p, "0{\"sid\":\"012345678901234567890123\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}");
}

static void forget(struct peer *p) {
    for (int i = 0; i < peer_count; i++) if (peers[i] == p) { peers[i] = peers[--peer_count]; break; }
    member_count = 0;                              /* who leaves, leaves with all others */
    close(p->fd);
    free(p);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

/* Everybody is pinged once an interval, a part of them each turn. */
static void ping_some(void) {
    static double last;
    static long next;
    double at = now();
    if (!last || !peer_count) last = at;
    long due = (at - last) / ping_s * peer_count;
    if (due <= 0) return;
    last = at;
    for (long i = 0; i < due && i < peer_count; i++) say(peers[next++ % peer_count], "2");
}

int main(int argc, char **argv) {
    if (argc < 2) { fputs("usage: sendloop PORT [joined | lose | double | swap | stray]\n", stderr); return 2; }
    if (argc > 2 && !strcmp(argv[2], "joined")) is_joined = 1;
    else if (argc > 2) fault = argv[2];
    if (getenv("PING_INTERVAL_S")) ping_s = atof(getenv("PING_INTERVAL_S"));
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max < MOST ? files.rlim_max : MOST;
    setrlimit(RLIMIT_NOFILE, &files);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (void *)&here, sizeof here) || listen(listener, 4096)) { perror("sendloop"); return 1; }
    int loop = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(loop, EPOLL_CTL_ADD, listener, &e);
    static unsigned char input[READ];
    for (;;) {
        struct epoll_event events[1024];
        int n = epoll_wait(loop, events, 1024, ping_s ? 100 : -1);
        if (ping_s) ping_some();
        for (int i = 0; i < n; i++) {
            struct peer *p = events[i].data.ptr;
            if (!p) {
                int fd;
                while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                    p = calloc(1, sizeof *p);
                    p->fd = fd;
                    peers[peer_count++] = p;
                    struct epoll_event mine = {.events = EPOLLIN, .data.ptr = p};
                    epoll_ctl(loop, EPOLL_CTL_ADD, fd, &mine);
                }
                continue;
            }
            ssize_t size = read(p->fd, input, sizeof input - 1);
            if (size == 0 || (size < 0 && errno != EAGAIN)) forget(p);
            else if (size > 0 && !p->is_upgraded) begin(p);
            else if (size > 0) on_frames(p, input, size);
        }
    }
}
