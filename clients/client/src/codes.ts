/**
 * What a client does about the numbers and words with which something ends. Ranges carry the advice, so that a code this
 * client has never heard of is handled, too: 3000–3499 "come back and recover", 3500–3999 "stop, it won't help".
 */

/** recover: come back and go on · renew: come back with a new token · stop: a person must act. */
export type Advice = "recover" | "renew" | "stop";

/** Close codes and codes of `unsubscribed` that this client knows by name. */
export const codes = {
  draining: 3001,
  aged: 3002,
  slow: 3008,
  rate: 3009,
  insufficient_state: 3010,
  unconfirmed: 3011,
  resized: 3012,
  revoked: 3500,
  token_expired: 3501,
  unauthenticated: 3502,
  too_many_connections: 3505,
} as const;

/** What to do after a connection was closed, or a subscription ended, with this code. */
export function adviceForCode(code: number): Advice {
  // Both say that the credential was not good, not that this person may not come: a new token decides.
  if (code === codes.token_expired || code === codes.unauthenticated) return "renew";
  return code >= 3500 && code <= 3999 ? "stop" : "recover";
}

// Errors that the same request would meet again, however often and with whatever token.
const HOPELESS = new Set([
  "bad_request",
  "malformed",
  "protocol_error",
  "forbidden",
  "blocked",
  "not_found",
  "unknown_event",
  "too_large",
  "too_many",
  "invalid",
]);

/** What to do after a `connect_error` or an error ack with this code (docs/reference/errors.md). */
export function adviceForError(code: string): Advice {
  if (code === "token_expired" || code === "unauthenticated") return "renew";
  return HOPELESS.has(code) ? "stop" : "recover";
}
