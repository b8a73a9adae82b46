/* The limit: what the kernel takes for the same deliveries when a program does nothing but send(2).
 *
 *     sendloop PORT
 *
 * It speaks just enough Socket.IO for the load generator: the upgrade, CONNECT, `broadcast`, `burst`, `echo`, `room`.
 * One thread, one frame prepared once, one send(2) a recipient and event.
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
#include <unistd.h>

enum { MOST = 1 << 17, ROOM = 10 };
struct peer { int fd, is_upgraded; };
static struct peer *peers[MOST];
static int peer_count;

static size_t frame(unsigned char *out, const char *text, size_t size) {
    size_t head = 0;
    out[head++] = 0x81;
    if (size < 126) {
        out[head++] = size;
    } else {
        out[head++] = 126;
        out[head++] = size >> 8;
        out[head++] = size & 255;
    }
    memcpy(out + head, text, size);
    return head + size;
}

static void put(struct peer *p, const unsigned char *data, size_t size) {
    size_t at = 0;
    while (at < size) {
        ssize_t n = send(p->fd, data + at, size - at, MSG_NOSIGNAL);
        if (n > 0) at += n;
        else if (errno != EAGAIN) return;
    }
}

static void say(struct peer *p, const char *text) {
    unsigned char out[512];
    put(p, out, frame(out, text, strlen(text)));
}

static void on_text(struct peer *p, char *text, size_t size) {
    static unsigned char out[16384];
    static char body[8192];
    text[size] = 0;
    if (!strncmp(text, "40", 2)) {
        say(p, "40{\"sid\":\"01234567890123456789\"}");
    } else if (!strncmp(text, "42[\"broadcast\",", 15)) {
        size_t n = frame(out, body, snprintf(body, sizeof body, "42[\"tick\",%s", text + 15));
        for (int i = 0; i < peer_count; i++) put(peers[i], out, n);
    } else if (!strncmp(text, "42[\"burst\",", 11)) {
        size_t n = frame(out, body, snprintf(body, sizeof body, "42[\"tick\",{\"n\":1}]"));
        for (int k = atoi(text + 11); k > 0; k--) for (int i = 0; i < peer_count; i++) put(peers[i], out, n);
    } else if (!strncmp(text, "42[\"room\",", 10)) {
        char *end;
        int room = strtol(text + 10, &end, 10);
        size_t n = frame(out, body, snprintf(body, sizeof body, "42[\"tick\",{\"t\":%lld}]", strtoll(end + 1, NULL, 10)));
        for (int i = room * ROOM; i < room * ROOM + ROOM && i < peer_count; i++) put(peers[i], out, n);
    } else if (!strncmp(text, "42", 2)) {
        size_t n = frame(out, body, snprintf(body, sizeof body, "43%d[\"0123456789\"]", atoi(text + 2)));
        put(p, out, n);
    }
}

static void on_frames(struct peer *p, unsigned char *data, size_t size) {
    for (size_t at = 0; size - at >= 6;) {
        size_t length = data[at + 1] & 127, head = 6;
        if (length == 126) { length = data[at + 2] << 8 | data[at + 3]; head = 8; }
        char saved = data[at + head + length];   /* the generator's mask is zero */
        on_text(p, (char *)data + at + head, length);
        data[at + head + length] = saved;
        at += head + length;
    }
}

int main(int argc, char **argv) {
    struct rlimit files = {MOST, MOST};
    setrlimit(RLIMIT_NOFILE, &files);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 0), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (void *)&here, sizeof here) || listen(listener, 4096)) { perror("sendloop"); return 1; }
    int loop = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(loop, EPOLL_CTL_ADD, listener, &e);
    puts("listening");
    fflush(stdout);
    static unsigned char input[1 << 17];
    for (;;) {
        struct epoll_event events[1024];
        int n = epoll_wait(loop, events, 1024, -1);
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
            if (size <= 0) {                     /* the generator ends all at once: begin anew */
                if (size == 0 || errno != EAGAIN) {
                    for (int k = 0; k < peer_count; k++) if (peers[k] == p) { peers[k] = peers[--peer_count]; break; }
                    close(p->fd);
                    free(p);
                }
                continue;
            }
            if (!p->is_upgraded) {
                p->is_upgraded = 1;
                static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";
                put(p, (const unsigned char *)answer, sizeof answer - 1);
                say(p, "0{\"sid\":\"012345678901234567890123\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}");
                continue;
            }
            on_frames(p, input, size);
        }
    }
}
