/**
 * One connection that stays: it opens, comes back after a break, carries a token that is good, and knows when to give up.
 *
 * Its state is a store for people; `live` and `lost` are for topics, which must notice each break, however short.
 */

import { backoff } from "./backoff.ts";
import { type Advice, adviceForCode, adviceForError } from "./codes.ts";
import { asError, ClarionError } from "./errors.ts";
import type { Closed, Heard, OpenSocket, Refused, Socket } from "./socket.ts";
import { createStore, type Readable, Signal } from "./store.ts";
import { readClaims, renewalDelay, type Tokens } from "./tokens.ts";
import { isObject } from "./wire.ts";

/**
 * idle: not asked for yet · connecting: for the first time · live · reconnecting: after a break, or a try that failed ·
 * closed: by `close()` · failed: the server does not want this client; `lastError` says why, `connect()` tries again.
 */
export type ConnectionStatus = "idle" | "connecting" | "live" | "reconnecting" | "closed" | "failed";

export interface ConnectionState {
  readonly status: ConnectionStatus;
  /** When the status began (ms since 1970). */
  readonly since: number;
  /** Tries since it was live last. */
  readonly attempt: number;
  readonly lastError: ClarionError | null;
}

export interface ConnectionOptions {
  readonly tokens: Tokens;
  readonly open: OpenSocket;
  readonly random?: () => number;
}

const REQUEST_TIMEOUT_MS = 10_000;
// Put out by the server again within this time: coming back does not help.
const PUT_OUT_AGAIN_MS = 30_000;

export class Connection implements Readable<ConnectionState> {
  // Fixed at creation
  readonly #tokens: Tokens;
  readonly #open: OpenSocket;
  readonly #random: () => number;
  readonly #state = createStore<ConnectionState>({ status: "idle", since: Date.now(), attempt: 0, lastError: null });
  readonly live = new Signal<void>();
  readonly lost = new Signal<void>();
  readonly event = new Signal<{ name: string; payload: unknown }>();

  // Changes while open
  #socket: Socket | null = null;
  #isUp = false;
  #token = "";
  /** Whether the next try needs a new token. */
  #mustRenew = false;
  /** When the server put the socket out last (ms); -Infinity: never. */
  #putOutAt = Number.NEGATIVE_INFINITY;
  #retry: ReturnType<typeof setTimeout> | null = null;
  #renewal: ReturnType<typeof setTimeout> | null = null;
  /** Rises with each try, so that what comes late from an earlier one is known as such. */
  #turn = 0;

  constructor(options: ConnectionOptions) {
    this.#tokens = options.tokens;
    this.#open = options.open;
    this.#random = options.random ?? Math.random;
  }

  getSnapshot(): ConnectionState {
    return this.#state.getSnapshot();
  }

  subscribe(listener: () => void): () => void {
    return this.#state.subscribe(listener);
  }

  /** Whether requests can be sent now. */
  get isUp(): boolean {
    return this.#isUp;
  }

  /** Whose connection it is: the token's `sub`; null before the first token. */
  get user(): string | null {
    return this.#token ? readClaims(this.#token).sub : null;
  }

  /** Opens the connection, once; also after `close()` and after it has failed. */
  connect(): void {
    const { status } = this.getSnapshot();
    if (status !== "idle" && status !== "closed" && status !== "failed") return;
    this.#mustRenew = status === "failed";
    this.#enter("connecting", 0, null);
    watchWaking(this.#wake, true);
    void this.#try();
  }

  close(): void {
    watchWaking(this.#wake, false);
    this.#stop();
    this.#enter("closed", 0, null);
  }

  /** A command and its answer, see `Socket.request`. Rejects with a ClarionError: the server's, `timeout`, or `unreachable`. */
  async request(name: string, payload: object, heard?: Heard): Promise<unknown> {
    if (!this.#isUp || !this.#socket) throw new ClarionError("unreachable", "There is no connection");
    let answer: unknown;
    try {
      answer = await this.#socket.request(name, payload, REQUEST_TIMEOUT_MS, heard);
    } catch {
      if (this.#isUp) throw new ClarionError("timeout", `The server did not answer ${name}`);
      throw new ClarionError("unreachable", "The connection broke before the answer came");
    }
    if (isObject(answer) && "error" in answer) {
      throw ClarionError.fromSocket(answer["error"], `The server refused ${name}`);
    }
    return answer;
  }

  /** Comes back with a new token: the server took the one that the connection has for expired. */
  renew(): void {
    if (this.#isUp) void this.#replace();
  }

  // ── trying ──

  async #try(): Promise<void> {
    const turn = ++this.#turn;
    let token: string;
    try {
      token = this.#mustRenew ? await this.#tokens.renew(this.#token || null) : await this.#tokens.current();
    } catch (thrown) {
      if (turn === this.#turn) this.#noToken(asError(thrown));
      return;
    }
    if (turn !== this.#turn) return;
    this.#token = token;
    this.#socket ??= this.#open({
      connected: () => this.#connected(),
      refused: (why) => this.#refused(why),
      closed: (why) => this.#closed(why),
      event: (name, payload) => this.event.emit({ name, payload }),
    });
    this.#socket.connect(token);
  }

  #noToken(error: ClarionError): void {
    // Without an answer, or from a busy server, there may be a token later; a refusal is final.
    const isFinal = error.status >= 400 && error.status < 500 && error.status !== 429;
    if (isFinal) this.#fail(error);
    else this.#later(error);
  }

  #connected(): void {
    this.#isUp = true;
    this.#mustRenew = false;
    const wait = renewalDelay(readClaims(this.#token).expiresAt, Date.now());
    clearMaybe(this.#renewal);
    this.#renewal = wait === null ? null : setTimeout(() => void this.#replace(), wait);
    if (this.getSnapshot().status !== "live") this.#enter("live", 0, null);
    this.live.emit();
  }

  /** Gets a new token while the old one still serves, then changes sockets: nobody sees a break. */
  async #replace(): Promise<void> {
    const turn = this.#turn;
    const hasToken = await this.#tokens.renew(this.#token).then(
      () => true,
      () => false,
    );
    if (turn !== this.#turn || !this.#isUp) return;
    if (!hasToken) {
      // The old one may last for a while, and its end will bring us to `#closed`; ask again before that.
      this.#renewal = setTimeout(() => void this.#replace(), backoff(3, this.#random(), 1));
      return;
    }
    this.#down();
    this.#socket?.disconnect();
    void this.#try();
  }

  // ── breaking ──

  #refused(why: Refused): void {
    const error = ClarionError.fromSocket(why.data, why.message);
    // No answer of the server's: the network, or a server that is not there.
    const advice: Advice = why.data === undefined ? "recover" : adviceForError(error.code);
    if (advice === "stop" || (advice === "renew" && this.#mustRenew)) return this.#fail(error);
    if (advice === "recover") return this.#later(error);
    this.#mustRenew = true;
    void this.#try();
  }

  #closed(why: Closed): void {
    this.#down();
    const error = new ClarionError("disconnected", "The connection broke");
    if (why.byServer) {
      // A DISCONNECT packet has no reason in it: a token that is over is worth a try, once.
      const isAgain = Date.now() - this.#putOutAt < PUT_OUT_AGAIN_MS;
      this.#putOutAt = Date.now();
      if (isAgain) return this.#fail(new ClarionError("disconnected", "The server ended the connection"));
      this.#mustRenew = true;
      return this.#later(error);
    }
    const advice = why.code === null ? "recover" : adviceForCode(why.code);
    if (advice === "stop") return this.#fail(new ClarionError(`closed_${why.code}`, "The server ended the connection"));
    this.#mustRenew ||= advice === "renew";
    this.#later(error);
  }

  #down(): void {
    clearMaybe(this.#renewal);
    this.#renewal = null;
    if (!this.#isUp) return;
    this.#isUp = false;
    this.lost.emit();
  }

  #later(error: ClarionError): void {
    const { attempt } = this.getSnapshot();
    this.#enter("reconnecting", attempt + 1, error);
    clearMaybe(this.#retry);
    this.#retry = setTimeout(() => this.#again(), backoff(attempt, this.#random(), error.retryAfter));
  }

  #again(): void {
    clearMaybe(this.#retry);
    this.#retry = null;
    void this.#try();
  }

  /** The network is back, or the page is looked at again: don't sit out the rest of a long wait. */
  readonly #wake = (): void => {
    if (this.#retry !== null) this.#again();
  };

  #fail(error: ClarionError): void {
    watchWaking(this.#wake, false);
    this.#stop();
    this.#enter("failed", this.getSnapshot().attempt, error);
  }

  #stop(): void {
    this.#turn++;
    clearMaybe(this.#retry);
    this.#retry = null;
    this.#down();
    this.#socket?.disconnect();
  }

  #enter(status: ConnectionStatus, attempt: number, lastError: ClarionError | null): void {
    const before = this.getSnapshot();
    const since = before.status === status ? before.since : Date.now();
    this.#state.set({ status, since, attempt, lastError });
  }
}

function clearMaybe(timer: ReturnType<typeof setTimeout> | null): void {
  if (timer !== null) clearTimeout(timer);
}

/** In a browser: calls `wake` when the network is back or the page becomes visible. */
function watchWaking(wake: () => void, isOn: boolean): void {
  if (typeof window === "undefined") return;
  const change = isOn ? "addEventListener" : "removeEventListener";
  window[change]("online", wake);
  document[change]("visibilitychange", wake);
}
