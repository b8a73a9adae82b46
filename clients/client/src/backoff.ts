/** How long to wait before the next try. */

const BASE_MS = 1_000;
const CAP_MS = 20_000;

/**
 * Full jitter: anything up to a bound that doubles with each try. After a restart of a server with many clients the
 * spread matters more than the mean.
 *
 * @param attempt Tries that failed so far, from 0.
 * @param random A number in [0, 1).
 * @param atLeast Seconds that the server asked for; they are kept, and the jitter comes on top.
 */
export function backoff(attempt: number, random: number, atLeast: number | null = null): number {
  return (atLeast ?? 0) * 1_000 + random * Math.min(CAP_MS, BASE_MS * 2 ** Math.min(attempt, 10));
}
