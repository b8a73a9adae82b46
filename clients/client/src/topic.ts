/** A subscription that lasts: asks, follows, asks again after a break or a gap, and ends where the server says "stop". */

import { backoff } from "./backoff.ts";
import { adviceForCode, adviceForError } from "./codes.ts";
import type { Connection } from "./connection.ts";
import { asError, ClarionError } from "./errors.ts";
import { Follower, type Kind } from "./follower.ts";
import { createStore, type Readable, Signal } from "./store.ts";
import { isPublication, isSubscribed, isTold, isUnsubscribed, type Position, type Publication } from "./wire.ts";

/** idle: nobody watches · subscribing: also while the connection is away · live · stopped: `error` says why. */
export type TopicStatus = "idle" | "subscribing" | "live" | "stopped";

export interface TopicView<State> {
  readonly status: TopicStatus;
  /** The newest state; it stays while the topic is away. Undefined until the first answer. */
  readonly state: State | undefined;
  readonly position: Position | null;
  /** Whether the last answer brought just what was missed; null before the first. */
  readonly recovered: boolean | null;
  readonly error: ClarionError | null;
}

/** What a subscription asks for beyond the topic (docs/reference/wire.md). */
export interface Wish {
  /** For the kind. */
  readonly params?: Readonly<Record<string, unknown>>;
  /** Which publications and items are wanted, by their tags. */
  readonly filter?: Readonly<Record<string, unknown>>;
  /** Of a stream: publications from before. */
  readonly rewind?: { readonly count?: number; readonly since_ms?: number };
  /** Gives a token for this topic alone; asked anew with each question. */
  readonly token?: () => string | Promise<string>;
}

/** Publications that arrived, in order, after their effect on the state. */
export interface Arrived {
  readonly publications: readonly Publication[];
}

// React mounts effects twice in development, and routes change: a topic outlives its last watcher for a moment.
const LINGER_MS = 1_000;

export class Topic<State> implements Readable<TopicView<State>> {
  readonly name: string;
  readonly arrived = new Signal<Arrived>();
  readonly #connection: Connection;
  readonly #random: () => number;
  readonly #wish: Wish;
  readonly #follower: Follower<State>;
  readonly #view = createStore<TopicView<State>>({
    status: "idle",
    state: undefined,
    position: null,
    recovered: null,
    error: null,
  });
  #watchers = 0;
  #linger: ReturnType<typeof setTimeout> | null = null;
  #retry: ReturnType<typeof setTimeout> | null = null;
  #failures = 0;
  /** Rises with each question; only the answer to the newest one counts. */
  #question = 0;
  #stopListening: (() => void) | null = null;
  /** What the server calls it: a kind may answer with another name than it was asked by. */
  #wireName: string;

  constructor(
    name: string,
    kind: Kind<State>,
    connection: Connection,
    random: () => number = Math.random,
    wish: Wish = {},
  ) {
    this.name = name;
    this.#wireName = name;
    this.#wish = wish;
    this.#connection = connection;
    this.#random = random;
    this.#follower = new Follower(kind);
  }

  getSnapshot(): TopicView<State> {
    return this.#view.getSnapshot();
  }

  /** Calls `listener` after each change, without being a reason to subscribe. */
  listen(listener: () => void): () => void {
    return this.#view.subscribe(listener);
  }

  /** Watches the topic; while anybody does, it is subscribed to. */
  subscribe(listener: () => void): () => void {
    const unsubscribe = this.#view.subscribe(listener);
    this.#watchers++;
    clear(this.#linger);
    this.#linger = null;
    if (this.getSnapshot().status === "idle") this.#start();
    let isWatching = true;
    return () => {
      if (!isWatching) return;
      isWatching = false;
      unsubscribe();
      this.#watchers--;
      if (this.#watchers === 0) this.#linger = setTimeout(() => this.end(), LINGER_MS);
    };
  }

  /** What the server calls the topic, as far as is known. */
  get wireName(): string {
    return this.#wireName;
  }

  /** Changes the state beside the log (see Follower). */
  amend(change: (state: State) => State): void {
    this.#follower.amend(change);
    this.#set({});
  }

  /** Subscribes again after `stopped`. */
  restart(): void {
    if (this.getSnapshot().status === "stopped") this.#start();
  }

  /** Ends the subscription, whoever watches. The state stays. */
  end(): void {
    const { status } = this.getSnapshot();
    this.#leave();
    this.#set({ status: "idle" });
    // Also while an answer is awaited: it calls the question off, or the server would go on sending to nobody.
    if ((status === "live" || status === "subscribing") && this.#connection.isUp) {
      // Whether or not the answer comes, nothing more is done here.
      this.#connection.request("unsubscribe", { topic: this.#wireName }).catch(() => undefined);
    }
  }

  #start(): void {
    this.#failures = 0;
    this.#set({ status: "subscribing", error: null });
    this.#stopListening?.();
    const stops = [
      this.#connection.live.listen(() => void this.#ask()),
      this.#connection.lost.listen(() => this.#away()),
      this.#connection.event.listen(({ name, payload }) => this.#receive(name, payload)),
    ];
    this.#stopListening = () => {
      for (const stop of stops) stop();
    };
    this.#connection.connect();
    void this.#ask();
  }

  async #ask(): Promise<void> {
    clear(this.#retry);
    this.#retry = null;
    if (!this.#connection.isUp) return;
    const question = ++this.#question;
    this.#follower.wait();
    this.#set({ status: "subscribing" });
    const since = this.#follower.position;
    try {
      const { token, ...wish } = this.#wish;
      const own = token && { token: await token() };
      if (question !== this.#question) return;
      const given = { topic: this.name, ...wish, ...own, ...(since && { since }) };
      const answer = await this.#connection.request("subscribe", given, (heard) => {
        if (question !== this.#question || !isSubscribed(heard)) return;
        this.#wireName = heard.topic;
        // What has come by now is of the subscription that this one replaces, perhaps in another epoch; what comes next is not.
        this.#follower.forget();
      });
      if (question !== this.#question) return;
      if (!isSubscribed(answer)) throw new ClarionError("malformed", "The answer to subscribe is not one");
      const { taken, isComplete } = this.#follower.answer(answer);
      this.#set({ status: isComplete ? "live" : "subscribing", recovered: answer.recovered, error: null });
      if (taken.length > 0) this.arrived.emit({ publications: taken });
      if (isComplete) this.#failures = 0;
      else this.#later(null);
    } catch (thrown) {
      if (question === this.#question) this.#refused(asError(thrown));
    }
  }

  #receive(name: string, payload: unknown): void {
    if (name === "publication" && isTold(payload) && payload.topic === this.#wireName) {
      const verdict = this.#follower.offer(payload);
      if (verdict === "taken") {
        this.#set({});
        if (isPublication(payload)) this.arrived.emit({ publications: [payload] });
      } else if (verdict === "gap") {
        void this.#ask();
      }
    }
    if (name === "unsubscribed" && isUnsubscribed(payload) && payload.topic === this.#wireName) {
      this.#unsubscribed(new ClarionError(payload.reason, "The server ended the subscription"), payload.code);
    }
  }

  #unsubscribed(error: ClarionError, code: number): void {
    this.#question++;
    const advice = adviceForCode(code);
    if (advice === "stop") return this.#stop(error);
    this.#follower.wait();
    this.#set({ status: "subscribing", error });
    // A new token makes a new connection, and that asks again; the topic's own comes with the next question.
    if (advice === "renew" && !this.#wish.token) this.#connection.renew();
    else this.#later(null);
  }

  #refused(error: ClarionError): void {
    if (error.code === "unreachable") return;
    const advice = adviceForError(error.code);
    if (advice === "stop") return this.#stop(error);
    this.#set({ error });
    if (advice === "renew" && !this.#wish.token && this.#failures++ === 0) this.#connection.renew();
    else this.#later(error.retryAfter);
  }

  #away(): void {
    this.#question++;
    clear(this.#retry);
    this.#retry = null;
    this.#follower.forget();
    this.#set({ status: "subscribing" });
  }

  #later(retryAfter: number | null): void {
    clear(this.#retry);
    this.#retry = setTimeout(() => void this.#ask(), backoff(this.#failures++, this.#random(), retryAfter));
  }

  #stop(error: ClarionError): void {
    this.#leave();
    this.#set({ status: "stopped", error });
  }

  #leave(): void {
    this.#question++;
    this.#stopListening?.();
    this.#stopListening = null;
    clear(this.#retry);
    this.#retry = null;
    // What is known stays known: whoever comes back asks for what was missed since.
    this.#follower.forget();
  }

  #set(change: Partial<TopicView<State>>): void {
    const { state, position } = this.#follower;
    this.#view.set({ ...this.getSnapshot(), ...change, state, position });
  }
}

function clear(timer: ReturnType<typeof setTimeout> | null): void {
  if (timer !== null) clearTimeout(timer);
}
