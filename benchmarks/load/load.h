/* A load generator: many WebSocket clients in one thread that account for every message. See main.c. */
#pragma once
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct client {
    int fd, state;
    long index;
    long last;            /* `n` of the newest event: they only grow, so a message that comes twice is noticed */
    long had, due;        /* events it got, and those it should have got */
    long asked, answered; /* events with an ack */
    unsigned char *rest;  /* bytes of an unfinished frame */
    size_t have, room;
    /* topics.c */
    char epoch[24];       /* with `offset` and `mark`: how far it knows the topic; "": not at all */
    long offset;
    long long mark;
    int wants;            /* what its command under way is */
    double asked_at;
    /* only where connections may break */
    int tries;
    double again_at;
};

/* How a server is spoken to, once the WebSocket is open. */
struct dialect {
    const char *name, *path;
    void (*opened)(struct client *c);                                   /* what to send first, if anything */
    void (*heard)(struct client *c, const char *text, size_t size);     /* one message */
    size_t (*event)(char *out, size_t room, const char *name, const char *argument);  /* text that sends an event */
};

/* ── dialects.c ── */
const struct dialect *find_dialect(const char *name);
extern const char *token;         /* for the CONNECT packet; NULL without */

/* ── clients.c ── */
extern struct client *clients;
extern long live;                 /* clients that are connected */
void listen_to(int port, const struct dialect *speaks);
void connect_more(long count, int at_once, double per_s, double *seconds);
void is_live(struct client *c);   /* a dialect says that the client is in */
void send_text(struct client *c, const char *text, size_t size);
extern int may_break;             /* the end of a connection is part of the plan: the client comes back as the stock one does */
extern long breaks, refusals;     /* connections that ended, and tries that came to nothing */
extern double broke_at;           /* when the first one ended */
extern int first_address;         /* the loopback address that the clients come from, counted from 127.0.0.1 */
extern double backoff_s;          /* about how long a client waits before it comes back the first time */
void break_off(struct client *c); /* a dialect was told to go */
void come_back(void);             /* those whose time has come try again */
int turn(int ms);                 /* reads what has come; waits at most `ms`; from how many it read */
void watch_stdin(void);
extern int stdin_is_ready;

/* ── scenarios.c ── */
extern double patience_s;        /* how long missing messages are waited for */
void on_event(struct client *c, const char *argument, size_t size);     /* a dialect got a message that was sent to many */
void on_answer(struct client *c, long id, const char *argument, size_t size);
void on_ping(struct client *c);
int run(char *command);           /* one scenario, one line of JSON; 0 if there is none of that name */

void begin(void);                 /* a scenario begins: accounts at nought */
void account(void);               /* fails where anything is missing, or came that should not have */
void until(long *what, long value);
void to_all(double rounds, double bytes, const char *event);  /* one client asks, all get one event */
extern long events;               /* that all clients had */
extern double last_at;            /* when the newest message came */

/* ── topics.c ── */
extern const struct dialect topics_dialect;
int run_topics(char *command);    /* as `run` */
void is_back(struct client *c);   /* it is live again */

/* ── times.c ── */
double now(void);                 /* seconds, monotonic */
double processor_s(void);         /* processor time that this process has used */
void record(double seconds);
void forget_times(void);
void print_times(void);           /* "p50_ms":…,"p99_ms":…,"p999_ms":…,"max_ms":… */

_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
