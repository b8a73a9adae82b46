/* Load generator: many WebSocket clients in one thread, every delivery accounted for and timed.
 *
 *     load PORT DIALECT
 *
 * Reads commands from standard input, one a line, and answers each with one line of JSON; between commands it answers
 * heartbeats. The commands are the scenarios of scenarios.c:
 *
 *     connect COUNT AT_ONCE PER_S     join     broadcast ROUNDS BYTES     burst ROUNDS COUNT
 *     ack SECONDS DEPTH               idle SECONDS                        echo | rooms SECONDS RATE
 *     hear COUNT
 *
 * and, in Clarion's own namespace (dialect `clarion`), those of topics.c:
 *
 *     topic NAME PARAMS     subscribe | plain AT_ONCE     publish ROUNDS BYTES     settle N     storm COUNT
 *
 * A message that is missing after PATIENCE_S (120), doubled, out of order, of another size or not theirs ends it with status 1 and a
 * line on standard error. The environment's TOKEN goes into the CONNECT packet or, client by client, a line of the file TOKENS. Where
 * connections may break, clients come back after BACKOFF_S (1), then after twice, four and five times that, as socket.io-client's do.
 * Several generators come from addresses of their own: FROM (0) is the first of them, counted from 127.0.0.1.
 * It shares the machine with what it measures, so it is lean: it tells with each answer what share of a processor it took (`load`).
 */
#include "load.h"
#include <signal.h>
#include <stdarg.h>
#include <unistd.h>

const struct dialect *dialect_in_use;

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

int main(int argc, char **argv) {
    if (argc != 3) { fputs("usage: load PORT DIALECT\n", stderr); return 2; }
    dialect_in_use = find_dialect(argv[2]);
    token = getenv("TOKEN");
    if (getenv("PATIENCE_S")) patience_s = atof(getenv("PATIENCE_S"));
    if (getenv("FROM")) first_address = atoi(getenv("FROM"));
    if (getenv("BACKOFF_S")) backoff_s = atof(getenv("BACKOFF_S"));
    signal(SIGPIPE, SIG_IGN);
    listen_to(atoi(argv[1]), dialect_in_use);
    watch_stdin();
    for (;;) {
        turn(-1);
        if (!stdin_is_ready) continue;
        stdin_is_ready = 0;
        char command[512];
        ssize_t size = read(0, command, sizeof command - 1);
        if (size <= 0) return 0;
        command[size] = 0;
        if (!run(command)) fail("no such command: %s", command);
    }
}
