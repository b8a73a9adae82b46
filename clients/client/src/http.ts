/** HTTP calls: JSON in, JSON out, errors as ClarionError, a refused token renewed once. */

import { backoff } from "./backoff.ts";
import { adviceForError } from "./codes.ts";
import { ClarionError } from "./errors.ts";
import type { Tokens } from "./tokens.ts";

export interface Call {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Below the server's URL, with a leading slash. */
  readonly path: string;
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
  /** How often to try again where no answer came or the server was busy. Only for calls that may be repeated. */
  readonly retries?: number;
}

export type Fetch = typeof fetch;

const TIMEOUT_MS = 15_000;
const AGAIN = new Set([0, 429, 503]);

export class Http {
  readonly url: string;
  readonly #tokens: Tokens | null;
  readonly #fetch: Fetch;

  /**
   * @param url The server; "" is the page's own.
   * @param tokens For the Authorization header; null: calls without one.
   */
  constructor(url: string, tokens: Tokens | null, fetcher: Fetch = (...args) => fetch(...args)) {
    this.url = url.replace(/\/+$/, "");
    this.#tokens = tokens;
    this.#fetch = fetcher;
  }

  /** The answer's body, taken to be a T: it is our own server's. An answer without a body is null. */
  async call<T>(call: Call): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      try {
        return (await this.#authorised(call)) as T;
      } catch (error) {
        const mayRepeat = error instanceof ClarionError && AGAIN.has(error.status) && attempt < (call.retries ?? 0);
        if (!mayRepeat) throw error;
        await sleep(backoff(attempt, Math.random(), error.retryAfter));
      }
    }
  }

  async #authorised(call: Call): Promise<unknown> {
    if (!this.#tokens) return this.#once(call, null);
    const token = await this.#tokens.current();
    try {
      return await this.#once(call, token);
    } catch (error) {
      const isRefused = error instanceof ClarionError && error.status === 401 && adviceForError(error.code) === "renew";
      if (!isRefused) throw error;
      return this.#once(call, await this.#tokens.renew(token));
    }
  }

  /** A browser does not tell a server that is away from one that refuses the page's origin. */
  #ifForeign(): string {
    const here = typeof location === "undefined" ? "" : location.origin;
    const isForeign = here !== "" && /^https?:/.test(this.url) && !`${this.url}/`.startsWith(`${here}/`);
    return isForeign ? `, or does not allow pages of ${here} (its setting allowed_origins)` : "";
  }

  async #once(call: Call, token: string | null): Promise<unknown> {
    const headers: Record<string, string> = { accept: "application/json", ...call.headers };
    if (token !== null) headers["authorization"] = `Bearer ${token}`;
    if (call.body) headers["content-type"] = "application/json";
    let response: Response;
    try {
      response = await this.#fetch(this.url + call.path, {
        method: call.method,
        headers,
        body: call.body ? JSON.stringify(call.body) : null,
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch {
      throw new ClarionError("unreachable", `The server cannot be reached${this.#ifForeign()}`);
    }
    const text = await response.text();
    const body = parse(text);
    if (!response.ok) throw ClarionError.fromAnswer(response.status, body);
    if (text && body === undefined) throw ClarionError.fromAnswer(response.status, { code: "malformed" });
    return body ?? null;
  }
}

function parse(text: string): unknown {
  try {
    return text ? JSON.parse(text) : undefined;
  } catch {
    return undefined;
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
