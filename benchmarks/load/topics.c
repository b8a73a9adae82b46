/* Topics, in Clarion's own namespace: subscribing until the whole state is here, publications in the order of their offsets, each once,
 * and coming back after a break with the position. */
#include "load.h"

enum { NOTHING, SUBSCRIPTION, PAGE, PUBLICATION, ECHO };

static char topic[256], params[256];
static long subscribed;                  /* clients that have what they asked for */
static long recovered, anew;
static char *tokens[1 << 16];
static long token_count = -1;

static int begins(const char *text, size_t size, const char *with) {
    size_t length = strlen(with);
    return size >= length && !memcmp(text, with, length);
}

/* Behind the first `key` in a text; fails where there is none. */
static const char *after(const char *text, size_t size, const char *key) {
    const char *found = memmem(text, size, key, strlen(key));
    if (!found) fail("without %s: %.*s", key, (int)(size < 300 ? size : 300), text);
    return found + strlen(key);
}

static const char *token_of(struct client *c) {
    if (token_count < 0) {
        token_count = 0;
        FILE *file = getenv("TOKENS") ? fopen(getenv("TOKENS"), "r") : NULL;
        size_t room = 0;
        while (file && token_count < 1 << 16 && getline(&tokens[token_count], &room, file) > 0) {
            tokens[token_count][strcspn(tokens[token_count], "\n")] = 0;
            token_count++;
            room = 0;
        }
        if (file) fclose(file);
    }
    return token_count ? tokens[c->index % token_count] : token;
}

/* ── what is said ── */
static void command(struct client *c, int wants, const char *name, const char *rest) {
    char text[1024];
    int size = snprintf(text, sizeof text, "42/clarion,%ld[\"%s\",{\"topic\":\"%s\"%s}]", c->asked, name, topic, rest);
    c->asked++;
    c->wants = wants;
    send_text(c, text, size);
}

static void subscribe(struct client *c) {
    char rest[640], since[160] = "";
    if (c->epoch[0]) snprintf(since, sizeof since, ",\"since\":{\"epoch\":\"%s\",\"offset\":%ld,\"mark\":%lld}", c->epoch, c->offset, c->mark);
    snprintf(rest, sizeof rest, "%s%s%s", since, params[0] ? ",\"params\":" : "", params);
    c->asked_at = now();
    command(c, SUBSCRIPTION, "subscribe", rest);
}

void is_back(struct client *c) {
    c->asked = c->answered = 0;
    c->tries = 0;
    if (topic[0]) subscribe(c);
    else subscribed++;
}

/* ── what is heard ── */
/* One publication, at its `"offset":`; the next one in order, or everything ends. */
static void take(struct client *c, const char *at, size_t size) {
    char *end;
    long offset = strtol(at, &end, 10);
    if (offset != c->offset + 1) fail("client %ld got publication %ld after %ld", c->index, offset, c->offset);
    c->offset = offset;
    c->mark = strtoll(after(at, size, "\"mark\":"), NULL, 10);
    const char *data = after(at, size, ",\"data\":");
    if (*data != '{') {                                          /* a count */
        c->last = strtol(data, NULL, 10);
        last_at = now();
        return;
    }
    const char *close = memchr(data, '}', at + size - data);     /* our data has no objects within */
    on_event(c, data, close + 1 - data);
}

/* The state is here, unless there is another page of it. */
static void take_state(struct client *c, const char *text, size_t size) {
    const char *tail = size > 400 ? text + size - 400 : text;
    const char *more = memmem(tail, text + size - tail, "\"more\":true", 11);
    if (more) {
        char rest[320];
        const char *next = after(more, text + size - more, "\"next\":\"");
        snprintf(rest, sizeof rest, ",\"after\":\"%.*s\"", (int)strcspn(next, "\""), next);
        command(c, PAGE, "page", rest);
        return;
    }
    last_at = now();
    record(last_at - c->asked_at);
    subscribed++;
}

static void take_subscription(struct client *c, const char *text, size_t size) {
    const char *epoch = after(text, size, "\"epoch\":\""), *at = after(text, size, "\"offset\":");
    int knew = c->epoch[0] != 0, is_recovered = memmem(text, size, "\"recovered\":true", 16) != NULL;
    snprintf(c->epoch, sizeof c->epoch, "%.*s", (int)strcspn(epoch, "\""), epoch);
    if (!is_recovered) {
        anew += knew;
        c->offset = strtol(at, NULL, 10);
        c->mark = strtoll(after(text, size, "\"mark\":"), NULL, 10);
        take_state(c, text, size);
        return;
    }
    recovered++;
    const char *end = text + size;
    for (const char *one = at; (one = memmem(one, end - one, "\"offset\":", 9));) {
        one += 9;
        take(c, one, end - one);
    }
    if (c->offset != strtol(at, NULL, 10)) fail("client %ld recovered up to %ld, not %s", c->index, c->offset, at);
    last_at = now();
    record(last_at - c->asked_at);
    subscribed++;
}

static void take_reply(struct client *c, long id, const char *text, size_t size) {
    if (id != c->answered++) fail("client %ld got answer %ld, not %ld", c->index, id, c->answered - 1);
    int wants = c->wants;
    c->wants = NOTHING;
    if (begins(text, size, "{\"error\":")) fail("client %ld was refused: %.*s", c->index, (int)size, text);
    if (wants == SUBSCRIPTION) take_subscription(c, text, size);
    if (wants == PAGE) take_state(c, text, size);
    if (wants == ECHO) take_state(c, text, size);                /* has no pages */
}

static void opened(struct client *c) { (void)c; }                /* the server begins */

static void heard(struct client *c, const char *text, size_t size) {
    if (begins(text, size, "42/clarion,[\"publication\",")) {
        const char *at = after(text, size, "\"offset\":");
        take(c, at, text + size - at);
    } else if (begins(text, size, "42/clarion,[\"tick\",")) {
        on_event(c, text + 19, size - 20);
    } else if (begins(text, size, "43/clarion,")) {
        char *argument;
        long id = strtol(text + 11, &argument, 10);              /* the `[` ends it */
        take_reply(c, id, argument + 1, size - (argument + 1 - text) - 1);
    } else if (begins(text, size, "2")) {
        send_text(c, "3", 1);
        on_ping(c);
    } else if (begins(text, size, "0")) {
        char hello[4096];
        send_text(c, hello, snprintf(hello, sizeof hello, "40/clarion,{\"token\":\"%s\"}", token_of(c)));
    } else if (begins(text, size, "40/clarion,")) {
        is_live(c);
    } else if (may_break && (begins(text, size, "41/clarion") || begins(text, size, "44/clarion"))) {
        break_off(c);
    } else {
        fail("unexpected: %.*s", (int)(size < 300 ? size : 300), text);
    }
}

static size_t event(char *out, size_t room, const char *name, const char *argument) {
    if (strcmp(name, "publish")) return snprintf(out, room, "42/clarion,[\"%s\",%s]", name, argument);
    clients[0].wants = PUBLICATION;                              /* it is the one that asks */
    return snprintf(out, room, "42/clarion,%ld[\"publish\",{\"topic\":\"%s\",\"event\":\"tick\",\"data\":%s}]", clients[0].asked++, topic, argument);
}

const struct dialect topics_dialect = {"clarion", "/socket.io/?EIO=4&transport=websocket", opened, heard, event};

/* ── the scenarios ── */
/* topic NAME PARAMS: what the next ones are about; nobody knows it yet */
static void topic_scenario(void) {
    for (long i = 0; i < live; i++) clients[i].epoch[0] = 0;
    printf("{");
}

static void echo(struct client *c) {
    c->asked_at = now();
    command(c, ECHO, "echo", "");
}

/* subscribe AT_ONCE: every client, so many under way; how long each waits until it has the whole state. plain AT_ONCE: for the answer to an
 * event of the application's */
static void ask_all(void (*ask)(struct client *c), long at_once) {
    double began = now();
    subscribed = 0;
    for (long next = 0; subscribed < live;) {
        while (next < live && next - subscribed < at_once) ask(&clients[next++]);
        turn(100);
        if (now() > began + patience_s) fail("%ld of %ld subscribed after %.0f s", subscribed, live, patience_s);
    }
    printf("{\"clients\":%ld,\"seconds\":%.4f,", live, last_at - began);
    account();
    print_times();
    printf(",");
}

/* settle N: until every client has heard that number */
static void settle_scenario(long n) {
    double began = now();
    for (long i = 0; i < live;) {
        if (clients[i].last == n) i++;
        else turn(100);
        if (now() > began + patience_s) fail("client %ld has heard of %ld after %.0f s, not of %ld", i, clients[i].last, patience_s, n);
    }
    printf("{\"seconds\":%.4f,", last_at > began ? last_at - began : 0);
}

/* storm COUNT: the server dies and comes back; until all clients are subscribed again, and each has had COUNT publications. Without a
 * topic: until all are connected. Clients come back as socket.io-client does. */
static void storm_scenario(long count) {
    double began = now(), back_at = 0;
    long all = live;
    subscribed = recovered = anew = breaks = refusals = 0;
    broke_at = 0;
    may_break = 1;
    for (long i = 0; i < all; i++) clients[i].due += count;
    while (breaks < all || live < all || subscribed < all || events < all * count) {
        turn(5);
        come_back();
        if (subscribed == all && !back_at) back_at = now();
        if (now() > began + patience_s) fail("%ld of %ld are back after %.0f s; %ld of %ld publications came", subscribed, all, patience_s, events, all * count);
    }
    if (!back_at) back_at = now();
    may_break = 0;
    account();
    printf("{\"clients\":%ld,\"seconds\":%.3f,\"recovered\":%ld,\"anew\":%ld,\"refusals\":%ld,\"missed\":%ld,", live, back_at - broke_at,
           recovered, anew, refusals, all * count - events);
    print_times();
    printf(",");
}

int run_topics(char *text) {
    char name[32] = "", first[256] = "", second[256] = "";
    sscanf(text, "%31s %255s %255s", name, first, second);
    if (!strcmp(name, "topic")) {
        strcpy(topic, first);
        strcpy(params, second);
        topic_scenario();
    } else if (!strcmp(name, "subscribe")) ask_all(subscribe, atol(first));
    else if (!strcmp(name, "plain")) ask_all(echo, atol(first));
    else if (!strcmp(name, "publish")) to_all(atof(first), atof(second), "publish");
    else if (!strcmp(name, "settle")) settle_scenario(atol(first));
    else if (!strcmp(name, "storm")) storm_scenario(atol(first));
    else return 0;
    return 1;
}
