/* What is said over the WebSocket: Socket.IO, bare messages (nchan), and the JSON protocol of Centrifuge. */
#include "load.h"

const char *token;

static int begins(const char *text, size_t size, const char *with) {
    size_t length = strlen(with);
    return size >= length && !memcmp(text, with, length);
}

/* ── Socket.IO 5 over Engine.IO 4 ── */
static void sio_opened(struct client *c) { (void)c; }            /* the server begins */

static void sio_heard(struct client *c, const char *text, size_t size) {
    if (begins(text, size, "42[\"tick\",")) {
        on_event(c, text + 10, size - 11);
    } else if (begins(text, size, "43")) {
        char *argument;
        long id = strtol(text + 2, &argument, 10);               /* the `[` ends it */
        on_answer(c, id, argument + 1, size - (argument + 1 - text) - 1);
    } else if (begins(text, size, "2")) {
        send_text(c, "3", 1);
        on_ping(c);
    } else if (begins(text, size, "0")) {
        char hello[2048] = "40";
        if (token) snprintf(hello, sizeof hello, "40{\"token\":\"%s\"}", token);
        send_text(c, hello, strlen(hello));
    } else if (begins(text, size, "40")) {
        is_live(c);
    } else {
        fail("unexpected: %.*s", (int)size, text);
    }
}

static size_t sio_event(char *out, size_t room, const char *name, const char *argument) {
    return snprintf(out, room, "42[\"%s\",%s]", name, argument);
}

/* ── bare messages: whatever one client sends, all get ── */
static void raw_opened(struct client *c) { is_live(c); }
static void raw_heard(struct client *c, const char *text, size_t size) { on_event(c, text, size); }
static size_t raw_event(char *out, size_t room, const char *name, const char *argument) {
    (void)name;
    return snprintf(out, room, "%s", argument);
}

/* ── Centrifuge, JSON protocol 1: commands and replies, one a line; the server subscribes everybody to the channel ── */
static void centrifuge_opened(struct client *c) { send_text(c, "{\"id\":1}", 8); }     /* method 0: connect */

static void centrifuge_heard(struct client *c, const char *text, size_t size) {
    for (const char *line = text, *end = text + size; line < end;) {
        const char *newline = memchr(line, '\n', end - line);
        size_t length = (newline ? newline : end) - line;
        const char *data = memmem(line, length, "{\"n\":", 5);
        if (begins(line, length, "{\"id\":1,")) is_live(c);
        else if (data) on_event(c, data, (line + length) - data - 3);                   /* }}} after it */
        else if (!begins(line, length, "{\"id\":2,\"result\"")) fail("unexpected: %.*s", (int)length, line);
        line += length + 1;
    }
}

static size_t centrifuge_event(char *out, size_t room, const char *name, const char *argument) {
    (void)name;
    return snprintf(out, room, "{\"id\":2,\"method\":3,\"params\":{\"channel\":\"all\",\"data\":%s}}", argument);
}

static const struct dialect dialects[] = {
    {"socket.io", "/socket.io/?EIO=4&transport=websocket", sio_opened, sio_heard, sio_event},
    {"raw", "/all", raw_opened, raw_heard, raw_event},
    {"centrifuge", "/connection/websocket", centrifuge_opened, centrifuge_heard, centrifuge_event},
};

const struct dialect *find_dialect(const char *name) {
    if (!strcmp(topics_dialect.name, name)) return &topics_dialect;
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++)
        if (!strcmp(dialects[i].name, name)) return &dialects[i];
    fail("no dialect %s", name);
}
