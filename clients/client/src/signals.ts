/** Signals: who types in a room, where cursors are, who has locked what. They go by themselves unless they are said again, which is done here. */

import type { Client } from "./client.ts";
import { asError, type ClarionError } from "./errors.ts";
import type { LiveTopic } from "./live/live-topic.ts";
import { createStore, type Readable, type Store } from "./store.ts";
import type { TopicStatus } from "./topic.ts";
import { isObject } from "./wire.ts";

export interface Cursor {
  readonly user: string;
  readonly data: unknown;
}

export interface SignalsView {
  readonly status: TopicStatus;
  /** Users, the client's own among them. */
  readonly typing: readonly string[];
  /** By an id of each connection. */
  readonly cursors: ReadonlyMap<string, Cursor>;
  /** By the name of what is locked. */
  readonly locks: ReadonlyMap<string, Cursor>;
  readonly error: ClarionError | null;
}

/** A lock that this client has: held until it is released or lost. */
export interface Lock extends Readable<{ readonly isHeld: boolean; readonly error: ClarionError | null }> {
  release(): Promise<void>;
}

// A third of its time: of three tries two may fail.
const SHARE = 3;
const known = new WeakMap<LiveTopic, Signals>();

/** The signals of a room; followed while anybody watches (`subscribe`). */
export function signals(client: Client, room: string): Signals {
  const topic = client.topic(`signals:${room}`);
  const found = known.get(topic) ?? new Signals(topic);
  known.set(topic, found);
  return found;
}

export class Signals implements Readable<SignalsView> {
  readonly #topic: LiveTopic;
  #seen: unknown;
  #view: SignalsView | null = null;
  /** Until when nothing need be said of typing (ms). */
  #typesUntil = 0;

  constructor(topic: LiveTopic) {
    this.#topic = topic;
  }

  getSnapshot(): SignalsView {
    const seen = this.#topic.snapshot;
    if (this.#view === null || this.#seen !== seen) {
      this.#seen = seen;
      this.#view = this.#look();
    }
    return this.#view;
  }

  /** Watches: calls back after each change. */
  subscribe(listener: () => void): () => void {
    return this.#topic.subscribe(listener);
  }

  /** To be called with every stroke of a key: it is sent as often as is needed. Without a connection it is not worth telling later. */
  async typing(): Promise<void> {
    if (Date.now() < this.#typesUntil || this.#topic.snapshot.status !== "live") return;
    // Until the answer says how long.
    this.#typesUntil = Date.now() + 1_000;
    const { ttl_s } = await this.#topic.publish("typing", true);
    this.#typesUntil = Date.now() + ((ttl_s ?? SHARE) * 1_000) / SHARE;
  }

  /** The message is sent, or given up: nobody waits for more. */
  async stopTyping(): Promise<void> {
    if (this.#typesUntil === 0) return;
    this.#typesUntil = 0;
    await this.#topic.publish("typing", false);
  }

  /** Where the cursor is: any JSON; null: nowhere. */
  async cursor(data: unknown): Promise<void> {
    if (this.#topic.snapshot.status === "live") await this.#topic.publish("cursor", data);
  }

  /**
   * Takes a lock, and keeps it until it is released. Rejects with `conflict` where another connection has it: `error.facts.current.data.user`.
   * It is lost when the server says that another one has it, after a break for instance: `getSnapshot().isHeld`.
   */
  async lock(name: string, data: unknown = null): Promise<Lock> {
    const { ttl_s } = await this.#topic.publish("lock", data, { key: name });
    return new HeldLock(this.#topic, name, data, ((ttl_s ?? SHARE) * 1_000) / SHARE);
  }

  #look(): SignalsView {
    const { status, items, error } = this.#topic.snapshot;
    const typing: string[] = [];
    const cursors = new Map<string, Cursor>();
    const locks = new Map<string, Cursor>();
    for (const [key, { data: told }] of items) {
      if (!isObject(told)) continue;
      const who: Cursor = { user: String(told["user"]), data: told["data"] ?? null };
      const name = key.slice(key.indexOf(":") + 1);
      if (key.startsWith("typing:")) typing.push(who.user);
      else if (key.startsWith("cursor:")) cursors.set(name, who);
      else if (key.startsWith("lock:")) locks.set(name, who);
    }
    return { status, typing, cursors, locks, error };
  }
}

type Held = { readonly isHeld: boolean; readonly error: ClarionError | null };

class HeldLock implements Lock {
  readonly #topic: LiveTopic;
  readonly #name: string;
  readonly #data: unknown;
  readonly #every: number;
  readonly #view: Store<Held> = createStore<Held>({ isHeld: true, error: null });
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(topic: LiveTopic, name: string, data: unknown, every: number) {
    this.#topic = topic;
    this.#name = name;
    this.#data = data;
    this.#every = every;
    this.#timer = setTimeout(() => void this.#again(), every);
  }

  getSnapshot(): Held {
    return this.#view.getSnapshot();
  }

  subscribe(listener: () => void): () => void {
    return this.#view.subscribe(listener);
  }

  async release(): Promise<void> {
    clearTimeout(this.#timer);
    if (!this.getSnapshot().isHeld) return;
    this.#view.set({ isHeld: false, error: null });
    await this.#topic.publish("unlock", null, { key: this.#name });
  }

  async #again(): Promise<void> {
    try {
      await this.#topic.publish("lock", this.#data, { key: this.#name });
    } catch (thrown) {
      if (this.getSnapshot().isHeld) this.#view.set({ isHeld: false, error: asError(thrown) });
      return;
    }
    if (this.getSnapshot().isHeld) this.#timer = setTimeout(() => void this.#again(), this.#every);
  }
}
