/** Presence: who is in a room, and which contacts are here (docs/explanation/presence.md). Beside it, `signals.ts`. */

import type { Client } from "./client.ts";
import type { ClarionError } from "./errors.ts";
import type { LiveTopic } from "./live/live-topic.ts";
import type { Readable } from "./store.ts";
import type { TopicStatus } from "./topic.ts";
import { isObject, type Published } from "./wire.ts";

export type Status = "online" | "away" | "dnd" | "idle";

/** What this connection says of itself and its user. What is not said stays as it was. */
export interface Words {
  readonly status?: Status;
  /** What it runs on, such as `phone`. */
  readonly device?: string;
  /** Of the user, whatever is to be shown; null takes it away. */
  readonly data?: Readonly<Record<string, unknown>> | null;
  /** Of the user, one line; "" takes it away. */
  readonly text?: string;
  /** The text goes by itself after so many seconds. */
  readonly text_for_s?: number;
}

/** A user who is here, whatever the number of their connections. Times are RFC 3339. */
export interface Person {
  readonly status: Status;
  readonly since: string;
  readonly last_active: string;
  readonly devices: Readonly<Record<string, { readonly status: Status; readonly device?: string }>>;
  readonly data?: Readonly<Record<string, unknown>>;
  readonly text?: string;
  readonly text_until?: string;
}

/** Of a room that is too large for its list: who came, changed and went in the last tick, the first hundred by name. */
export interface Changed {
  readonly entered?: readonly (Person & { readonly user: string })[];
  readonly updated?: readonly (Person & { readonly user: string })[];
  readonly left?: readonly string[];
  readonly more?: number;
}

export interface PeopleView {
  readonly status: TopicStatus;
  /** How many are here; null: not known yet. */
  readonly users: number | null;
  /** Who is here, by id; empty where only `changed` or the number is told. */
  readonly people: ReadonlyMap<string, Person>;
  readonly changed: Changed | null;
  /** All of it is here. */
  readonly isWhole: boolean;
  readonly error: ClarionError | null;
}

export interface RoomOptions {
  /** Be in the room while anybody watches it, saying this. Without it: only watch. */
  readonly enter?: Words;
  /** The most that is wanted; a large room gives less. */
  readonly mode?: "full" | "changes" | "count";
}

const NOBODY: ReadonlyMap<string, Person> = new Map();
const known = new WeakMap<LiveTopic, People>();

/** Who is in a room; followed while anybody watches (`subscribe`), shared by all who ask for it in the same way. */
export function room(client: Client, name: string, { enter, mode }: RoomOptions = {}): People {
  const said = enter ? new Said(enter) : null;
  const params = { ...(said && { enter: said }), ...(mode && { mode }) };
  return people(client.topic(`presence:${name}`, { params }), said, false);
}

/** Which contacts of the client's own user are here, and the user. What is said here is said to all who see them, in no particular room. */
export function contacts(client: Client, user: string): People {
  return people(client.topic(`contacts:${user}`), new Said({}), true);
}

function people(topic: LiveTopic, said: Said | null, saysAgain: boolean): People {
  const found = known.get(topic) ?? new People(topic, said, saysAgain);
  known.set(topic, found);
  return found;
}

/** What was said so far: a connection that comes back says it again. */
class Said {
  #words: Words = {};
  #until: number | null = null;
  isIdle = false;

  constructor(words: Words) {
    this.add(words);
  }

  get isNothing(): boolean {
    return Object.keys(this.toJSON()).length === 0;
  }

  /** Nobody is at what would be online; who is away, or not to be disturbed, is that. */
  get status(): Status {
    const { status = "online" } = this.#words;
    return this.isIdle && status === "online" ? "idle" : status;
  }

  add({ text_for_s, ...words }: Words): void {
    this.#words = { ...this.#words, ...words };
    if (words.text !== undefined) this.#until = text_for_s === undefined ? null : Date.now() + text_for_s * 1_000;
  }

  /** As it is sent: a text has as long as it has left. */
  toJSON(): Words {
    const { text, ...words } = this.#words;
    const rest = this.isIdle ? { ...words, status: this.status } : words;
    if (text === undefined) return rest;
    if (this.#until === null) return { ...rest, text };
    // In tenths: whoever asks for a room twice asks for the same, whatever the clock did in between.
    const left = Math.ceil((this.#until - Date.now()) / 100) / 10;
    return left > 0 ? { ...rest, text, text_for_s: left } : rest;
  }
}

export class People implements Readable<PeopleView> {
  readonly #topic: LiveTopic;
  readonly #said: Said | null;
  readonly #saysAgain: boolean;
  #seen: unknown;
  #view: PeopleView | null = null;
  #watchers = 0;
  #status: TopicStatus = "idle";
  #stop: (() => void) | null = null;

  /**
   * @param said What a new connection says again.
   * @param saysAgain Whether by a publication; else it goes along with the subscription.
   */
  constructor(topic: LiveTopic, said: Said | null, saysAgain: boolean) {
    this.#topic = topic;
    this.#said = said;
    this.#saysAgain = saysAgain;
  }

  getSnapshot(): PeopleView {
    const seen = this.#topic.snapshot;
    if (this.#view === null || this.#seen !== seen) {
      this.#seen = seen;
      this.#view = this.#look();
    }
    return this.#view;
  }

  /** Watches: calls back after each change. Whoever enters is in the room as long as somebody watches. */
  subscribe(listener: () => void): () => void {
    if (this.#watchers++ === 0 && this.#saysAgain) this.#stop = this.#topic.subscribe(() => this.#sayAgain());
    const stop = this.#topic.subscribe(listener);
    let isWatching = true;
    return () => {
      if (!isWatching) return;
      isWatching = false;
      stop();
      if (--this.#watchers === 0) this.#stop?.();
    };
  }

  /** Says something more; resolves when others see it. */
  update(words: Words): Promise<Published> {
    if (!this.#said) return this.#topic.publish("update", words);
    this.#said.add(words);
    return this.#topic.publish("update", words.status ? { ...words, status: this.#said.status } : words);
  }

  /** Nobody is at it, or somebody again: see `idle.ts`. Resolves when others see it. */
  setIdle(isIdle: boolean): Promise<Published> {
    if (this.#said) this.#said.isIdle = isIdle;
    return this.#topic.publish("update", { status: this.#said?.status ?? (isIdle ? "idle" : "online") });
  }

  #sayAgain(): void {
    const { status } = this.#topic.snapshot;
    if (status === this.#status) return;
    this.#status = status;
    if (status !== "live" || !this.#said || this.#said.isNothing) return;
    // What it is refused for was told to whoever said it first.
    this.#topic.publish("update", this.#said).catch(() => undefined);
  }

  #look(): PeopleView {
    const { status, items, isWhole, error } = this.#topic.snapshot;
    const about = { status, isWhole, error };
    const [only] = items.size === 1 ? items.values() : [];
    if (only && typeof only.data === "number") return { ...about, users: only.data, people: NOBODY, changed: null };
    if (only && isObject(only.data) && "users" in only.data && !("status" in only.data)) {
      const { users, ...changed } = only.data as unknown as Changed & { users: number };
      return { ...about, users, people: NOBODY, changed };
    }
    const here = new Map([...items].map(([user, { data }]) => [user, data as Person]));
    return { ...about, users: isWhole ? here.size : null, people: here, changed: null };
  }
}
