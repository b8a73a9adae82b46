/* The scenarios, and the accounts: each client must get each event that was meant for it, once, whole and in order. */
#include "load.h"

enum { ROOM = 10, TEXT = 1 << 15, ENOUGH_S = 3 };

extern const struct dialect *dialect_in_use;
long events;
static long answers, pings;             /* seen by all clients */
static long next_n = 1;                 /* of the next event */
static size_t event_size;               /* what an event's argument must measure (bytes); 0: varies */
double last_at;
static int timing, keep_asking;
double patience_s = 120;
static double burdened_since, busy_since;

/* ── what comes ── */
static long long number(const char *text, const char *key) {
    size_t length = strlen(key);
    return memcmp(text, key, length) ? -1 : strtoll(text + length, NULL, 10);
}

static void check_time(const char *argument, size_t size) {
    if (!timing) return;
    const char *t = memmem(argument, size < 64 ? size : 64, ",\"t\":", 5);
    if (!t) fail("an event without its time: %.*s", (int)size, argument);
    record(last_at - strtoll(t + 5, NULL, 10) / 1e6);
}

void on_event(struct client *c, const char *argument, size_t size) {
    last_at = now();
    long n = number(argument, "{\"n\":");
    if (n <= c->last) fail("client %ld got event %ld after %ld: %.*s", c->index, n, c->last, (int)(size < 99 ? size : 99), argument);
    if (event_size && size != event_size) fail("an event of %zu bytes, not %zu", size, event_size);
    c->last = n;
    c->had++;
    events++;
    check_time(argument, size);
}

static void ask(struct client *c, double at) {
    char text[96];
    int size = snprintf(text, sizeof text, "42%ld[\"echo\",{\"n\":%ld,\"t\":%lld}]", c->asked, c->asked, (long long)(at * 1e6));
    c->asked++;
    send_text(c, text, size);
}

void on_answer(struct client *c, long id, const char *argument, size_t size) {
    last_at = now();
    if (id != c->answered++) fail("client %ld got answer %ld, not %ld", c->index, id, c->answered - 1);
    if (size > 5 && !memcmp(argument, "{\"n\":", 5)) {            /* an echo; joining a room is answered with `true` */
        if (number(argument, "{\"n\":") != id) fail("question %ld was answered with: %.*s", id, (int)size, argument);
        check_time(argument, size);
    } else if (size != 4 || memcmp(argument, "true", 4)) {
        fail("refused: %.*s", (int)size, argument);
    }
    answers++;
    if (keep_asking) ask(c, last_at);
}

void on_ping(struct client *c) {
    (void)c;
    pings++;
}

/* ── helpers of the scenarios ── */
void begin(void) {
    events = answers = pings = 0;
    event_size = 0;
    timing = keep_asking = 0;
    forget_times();
    for (long i = 0; i < live; i++) clients[i].had = clients[i].due = 0;
    burdened_since = now();
    busy_since = processor_s();
}

/* The share of one processor that this program took: near 1, it is the generator that was measured. */
static void end(void) { printf("\"load\":%.3f}\n", (processor_s() - busy_since) / (now() - burdened_since)); }

void until(long *what, long value) {
    double limit = now() + patience_s;
    while (*what < value) {
        turn(500);
        if (now() > limit) fail("%ld of %ld messages after %.0f s", *what, value, patience_s);
    }
}

/* Nothing is missing; a little later nothing came that should not have. */
void account(void) {
    double settled = now() + .1;
    while (turn(10) || now() < settled) continue;
    for (long i = 0; i < live; i++) {
        struct client *c = &clients[i];
        if (c->had != c->due) fail("client %ld got %ld events of %ld", i, c->had, c->due);
        if (c->answered != c->asked) fail("client %ld got %ld answers of %ld", i, c->answered, c->asked);
    }
}

static void all_are_due(long count) {
    for (long i = 0; i < live; i++) clients[i].due += count;
}

/* ── the scenarios ── */
/* connect COUNT AT_ONCE PER_S: 0 a second is as fast as they are let in */
static void connect_scenario(double count, double at_once, double per_s) {
    double seconds;
    connect_more(count, at_once ? at_once : 64, per_s, &seconds);
    printf("{\"clients\":%ld,\"seconds\":%.3f,\"connects_per_s\":%.0f,", live, seconds, count / seconds);
}

/* join: each client asks to be in its room of ten */
static void join_scenario(double a, double b, double c) {
    (void)a, (void)b, (void)c;
    for (long i = 0; i < live; i++) {
        char text[64];
        send_text(&clients[i], text, snprintf(text, sizeof text, "42%ld[\"join\",%ld]", clients[i].asked++, i / ROOM));
    }
    until(&answers, live);
    account();
    printf("{\"clients\":%ld,", live);
}

/* One client asks, all get one event; how long until the last has it, and until each has it. A slow server is let off with
 * as many rounds as it finishes in three seconds. */
void to_all(double rounds, double bytes, const char *event) {
    static char pad[TEXT], argument[TEXT], text[TEXT];
    memset(pad, 'x', bytes);
    pad[(int)bytes] = 0;
    double began = now(), last[1000];
    int done = -1;                                               /* the first warms up */
    while (done < rounds && done < 1000 && (done < 1 || now() < began + ENOUGH_S)) {
        double at = now();
        event_size = snprintf(argument, sizeof argument, "{\"n\":%ld,\"t\":%lld,\"pad\":\"%s\"}", next_n++, (long long)(at * 1e6), pad);
        size_t size = dialect_in_use->event(text, sizeof text, event, argument);
        events = 0;
        all_are_due(1);
        timing = done >= 0;
        send_text(&clients[0], text, size);
        until(&events, live);
        if (done >= 0) last[done] = last_at - at;
        done++;
        turn(1);
    }
    timing = 0;
    account();
    printf("{\"clients\":%ld,\"rounds\":%d,", live, done);
    print_times();
    forget_times();
    for (int i = 0; i < done; i++) record(last[i]);
    printf(",\"last\":{");
    print_times();
    printf("},");
}

/* broadcast ROUNDS BYTES */
static void broadcast_scenario(double rounds, double bytes, double c) {
    (void)c;
    to_all(rounds, bytes, "broadcast");
}

/* burst ROUNDS COUNT: one client asks, all get COUNT events; deliveries a second */
static void burst_scenario(double rounds, double count, double c) {
    (void)c;
    double began = now(), spent = 0;
    int done = 0;
    while (done < rounds && (done < 1 || now() < began + ENOUGH_S)) {
        char text[128];
        double at = now();
        int size = snprintf(text, sizeof text, "42[\"burst\",{\"n\":%ld,\"t\":%lld,\"count\":%.0f}]", next_n, (long long)(at * 1e6), count);
        next_n += count;
        events = 0;
        timing = 1;
        all_are_due(count);
        send_text(&clients[0], text, size);
        until(&events, live * count);
        spent += last_at - at;
        done++;
        turn(20);
    }
    timing = 0;
    account();
    printf("{\"clients\":%ld,\"rounds\":%d,\"deliveries_per_s\":%.0f,", live, done, done * live * count / spent);
    print_times();
    printf(",");
}

/* ack SECONDS DEPTH: every client keeps DEPTH events with an ack under way; answers a second */
static void ack_scenario(double seconds, double depth, double c) {
    (void)c;
    keep_asking = 1;
    for (int d = 0; d < depth; d++) for (long i = 0; i < live; i++) ask(&clients[i], now());
    double warm = now() + .5;
    while (now() < warm) turn(100);
    long before = answers;
    double began = now(), busy = processor_s();
    timing = 1;
    while (now() < began + seconds) turn(100);
    double took = now() - began;
    long got = answers - before;
    burdened_since = began;
    busy_since = busy;
    timing = keep_asking = 0;
    account();
    printf("{\"clients\":%ld,\"acks\":%ld,\"acks_per_s\":%.0f,", live, answers, got / took);
    print_times();
    printf(",");
}

/* Calls `send` on schedule; the time in a message is the one it was due to leave, so that waiting counts. Between the
 * messages it reads without sleeping: it has a processor to itself, and a timer would be late. */
static long offer(double seconds, double rate, void (*send)(long i, double due)) {
    double began = now(), latest = 0;
    long i = 0;
    for (; i < seconds * rate; i++) {
        double due = began + i / rate;
        while (now() < due) turn(0);
        double late = now() - due;
        if (late > latest) latest = late;
        send(i, due);
    }
    printf("{\"clients\":%ld,\"rate\":%.0f,\"latest_send_ms\":%.3f,", live, rate, latest * 1e3);
    return i;
}

static void ask_one(long i, double due) { ask(&clients[i % live], due); }

/* echo SECONDS RATE: RATE events with an ack a second in all */
static void echo_scenario(double seconds, double rate, double c) {
    (void)c;
    timing = 1;
    until(&answers, offer(seconds, rate, ask_one));
    timing = 0;
    account();
    print_times();
    printf(",");
}

static void tell_room(long i, double due) {
    char text[128];
    long room = i * 7919 % (live / ROOM), sender = room * ROOM;    /* one sender a room: two could overtake one another */
    int size = snprintf(text, sizeof text, "42[\"room\",%ld,{\"n\":%ld,\"t\":%lld}]", room, next_n++, (long long)(due * 1e6));
    for (long k = room * ROOM; k < room * ROOM + ROOM && k < live; k++) clients[k].due++;
    send_text(&clients[sender], text, size);
}

/* rooms SECONDS RATE: RATE events a second, each from a client to its room of ten (after `join`) */
static void rooms_scenario(double seconds, double rate, double c) {
    (void)c;
    if (live % ROOM) fail("%ld clients do not fill rooms of %d", live, ROOM);
    timing = 1;
    until(&events, offer(seconds, rate, tell_room) * ROOM);
    timing = 0;
    account();
    print_times();
    printf(",");
}

/* hear COUNT: what another generator's client sends to all, so often */
static void hear_scenario(double count, double b, double c) {
    (void)b, (void)c;
    timing = 1;
    all_are_due(count);
    until(&events, live * count);
    timing = 0;
    account();
    printf("{\"clients\":%ld,", live);
    print_times();
    printf(",");
}

/* idle SECONDS: only heartbeats are answered */
static void idle_scenario(double seconds, double b, double c) {
    (void)b, (void)c;
    double limit = now() + seconds;
    while (now() < limit) turn((limit - now()) * 1e3 + 1);
    account();
    printf("{\"clients\":%ld,\"pings\":%ld,", live, pings);
}

static const struct { const char *name; void (*run)(double, double, double); } scenarios[] = {
    {"connect", connect_scenario}, {"join", join_scenario}, {"broadcast", broadcast_scenario}, {"burst", burst_scenario},
    {"ack", ack_scenario}, {"echo", echo_scenario}, {"rooms", rooms_scenario}, {"idle", idle_scenario}, {"hear", hear_scenario},
};

int run(char *command) {
    char name[32] = "";
    double a = 0, b = 0, c = 0;
    sscanf(command, "%31s %lf %lf %lf", name, &a, &b, &c);
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        if (strcmp(scenarios[i].name, name)) continue;
        begin();
        scenarios[i].run(a, b, c);
        end();
        fflush(stdout);
        return 1;
    }
    begin();
    if (!run_topics(command)) return 0;
    end();
    fflush(stdout);
    return 1;
}
