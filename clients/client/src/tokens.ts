/** The access token: fetched from the application when it is needed, renewed before it expires, once at a time. */

import { isObject } from "./wire.ts";

/** Gives the application's token. `fresh`: the one given before was refused or is about to expire. */
export type GetToken = (wish: { fresh: boolean }) => Promise<string> | string;

// A token is renewed this long before its end, or after 4/5 of its life if that is shorter.
const MARGIN_MS = 60_000;
// setTimeout overflows beyond this and fires at once.
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export class Tokens {
  readonly #getToken: GetToken;
  #token: Promise<string> | null = null;

  constructor(getToken: GetToken) {
    this.#getToken = getToken;
  }

  /** The token at hand, or the first one. */
  current(): Promise<string> {
    this.#token ??= this.#ask(false);
    return this.#token;
  }

  /** A new token. Calls while one is fetched share it; `refused` that is no longer the current one costs no call. */
  async renew(refused: string | null = null): Promise<string> {
    const now = this.#token;
    if (now && refused !== null) {
      const token = await now.catch(() => refused);
      if (token !== refused) return token;
    }
    if (this.#token === now) this.#token = this.#ask(true);
    return this.current();
  }

  #ask(fresh: boolean): Promise<string> {
    const asked = (async () => this.#getToken({ fresh }))();
    // A failed fetch is not remembered: the next call asks again.
    asked.catch(() => {
      if (this.#token === asked) this.#token = null;
    });
    return asked;
  }
}

/** What a client may read of its own token; never a reason to trust it. */
export interface Claims {
  readonly sub: string | null;
  /** Milliseconds since 1970. */
  readonly expiresAt: number | null;
}

/** Reads a JWT's claims; anything else has none. */
export function readClaims(token: string): Claims {
  try {
    const part = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(part), (char) => char.charCodeAt(0));
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (!isObject(claims)) return NO_CLAIMS;
    const { sub, exp } = claims;
    return {
      sub: typeof sub === "string" ? sub : null,
      expiresAt: typeof exp === "number" ? exp * 1_000 : null,
    };
  } catch {
    return NO_CLAIMS;
  }
}

const NO_CLAIMS: Claims = { sub: null, expiresAt: null };

/**
 * Milliseconds until a token should be renewed; null: not by a timer. A token that seems to be over already came from a
 * server whose clock is behind ours: its refusal will tell.
 */
export function renewalDelay(expiresAt: number | null, now: number): number | null {
  const left = (expiresAt ?? 0) - now;
  if (left <= 0) return null;
  return Math.min(left - Math.min(MARGIN_MS, left / 5), LONGEST_TIMER_MS);
}
