/** A command that may be repeated, until it is answered: over breaks, time-outs and a busy server. */

import { backoff } from "../backoff.ts";
import { adviceForError } from "../codes.ts";
import type { Connection } from "../connection.ts";
import { asError, ClarionError } from "../errors.ts";

const AGAIN = new Set(["unreachable", "timeout", "unavailable", "overloaded", "outcome_unknown", "rate_limited"]);
const PATIENCE_MS = 60_000;

/** The answer. Rejects with what the server refused it for, or with what kept it from answering for a minute. */
export async function insist(connection: Connection, name: string, payload: object): Promise<unknown> {
  const deadline = Date.now() + PATIENCE_MS;
  connection.connect();
  for (let attempt = 0, hasRenewed = false; ; attempt++) {
    try {
      if (!connection.isUp) await live(connection, deadline);
      return await connection.request(name, payload);
    } catch (thrown) {
      const error = asError(thrown);
      const mayRenew: boolean = adviceForError(error.code) === "renew" && !hasRenewed;
      if ((!AGAIN.has(error.code) && !mayRenew) || Date.now() >= deadline) throw error;
      hasRenewed ||= mayRenew;
      if (mayRenew) connection.renew();
      else if (error.code !== "unreachable") await sleep(backoff(attempt, Math.random(), error.retryAfter));
    }
  }
}

/** Waits for the connection. Rejects at the deadline, and where the server does not want this client. */
function live(connection: Connection, deadline: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (error: ClarionError | null) => {
      for (const stop of stops) stop();
      clearTimeout(timer);
      if (error) reject(error);
      else resolve();
    };
    const look = () => {
      const { status, lastError } = connection.getSnapshot();
      if (status === "failed") done(lastError ?? new ClarionError("refused", "The server refused the connection"));
      if (status === "closed") done(new ClarionError("closed", "The connection was closed"));
    };
    const late = () => done(new ClarionError("unreachable", "There was no connection in time"));
    const timer = setTimeout(late, Math.max(0, deadline - Date.now()));
    const stops = [connection.live.listen(() => done(null)), connection.subscribe(look)];
    look();
  });
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
