/* Clocks, and the percentiles of what was measured with them. */
#include "load.h"
#include <time.h>

static float *times;              /* seconds; microseconds are told apart up to a minute */
static size_t count, room;

static double read_clock(clockid_t which) {
    struct timespec t;
    clock_gettime(which, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

double now(void) { return read_clock(CLOCK_MONOTONIC); }
double processor_s(void) { return read_clock(CLOCK_PROCESS_CPUTIME_ID); }

void record(double seconds) {
    if (count == room) {
        room = room ? room * 2 : 1 << 16;
        times = realloc(times, room * sizeof *times);
    }
    times[count++] = seconds;
}

void forget_times(void) { count = 0; }

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double ms(double quantile) { return count ? times[(size_t)(quantile * (count - 1))] * 1e3 : 0; }

void print_times(void) {
    qsort(times, count, sizeof *times, ascending);
    printf("\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"max_ms\":%.3f", ms(.5), ms(.99), ms(.999), ms(1));
}
