/**
 * A server with one map, in a few lines of values, and a line to it that delivers what is said one by one: when, and whether at
 * all, the test decides. What it says has the shapes of the real one (docs/reference/wire.md).
 */

import { grown, patched } from "../../src/live/items.ts";
import type { OpenSocket, SocketHandlers } from "../../src/socket.ts";
import type { Position, Told } from "../../src/wire.ts";
import { isObject } from "../../src/wire.ts";

type Entry = Told & { key: string; event: string; data: unknown; patch?: unknown };

/** The map, its log, and who is subscribed. */
export class Board {
  readonly topic = "board:x";
  epoch = "e1";
  items = new Map<string, { data: unknown; offset: number }>();
  log: Entry[] = [];
  trimmed = 0;
  pageSize = 3;
  readonly published = new Set<string>();

  get position(): Position {
    return { epoch: this.epoch, offset: this.log.length, mark: this.markAt(this.log.length) };
  }

  markAt(offset: number): number {
    return (offset * 7_919 + this.epoch.length * 31) % 2 ** 32;
  }

  set(key: string, data: unknown): Entry {
    const before = this.items.get(key);
    const entry = this.#append(key, "set", data);
    this.items.set(key, { data, offset: entry.offset });
    const patch = before ? difference(before.data, data) : null;
    return patch ? { ...entry, patch } : entry;
  }

  grow(key: string, by: Readonly<Record<string, unknown>>): Entry {
    const entry = this.#append(key, "append", by);
    this.items.set(key, { data: grown(this.items.get(key)?.data, by), offset: entry.offset });
    return entry;
  }

  remove(key: string): Entry {
    this.items.delete(key);
    return this.#append(key, "remove", null);
  }

  loseLog(): void {
    this.epoch += "+";
    this.log = [];
    this.trimmed = 0;
    for (const [key, { data }] of this.items) this.items.set(key, { data, offset: 0 });
    for (const [key, { data }] of [...this.items]) this.set(key, data);
  }

  page(after: string) {
    const keys = [...this.items.keys()].filter((key) => key > after).sort();
    const some = keys.slice(0, this.pageSize);
    const more = keys.length > some.length;
    const items = some.map((key) => ({ key, ...(this.items.get(key) as object) }));
    return structuredClone({ items, more, ...(more && { next: some.at(-1) }) });
  }

  answer(since: Position | undefined): object {
    const base = { topic: this.topic, ...this.position, class: "recoverable", log: { size: 100, age_s: 60 } };
    const mayRecover = since?.epoch === this.epoch && since.offset >= this.trimmed && since.offset <= this.log.length;
    if (!since || !mayRecover) return { ...base, recovered: false, snapshot: this.page("") };
    return { ...base, recovered: true, publications: structuredClone(this.log.slice(since.offset)) };
  }

  #append(key: string, event: string, data: unknown): Entry {
    const offset = this.log.length + 1;
    const entry = { topic: this.topic, offset, mark: this.markAt(offset), event, key, data: structuredClone(data) };
    this.log.push(entry);
    return entry;
  }
}

/** Members that differ, where both are objects of the same members; else null. */
function difference(before: unknown, after: unknown): object | null {
  if (!isObject(before) || !isObject(after)) return null;
  const patch = Object.fromEntries(Object.entries(after).filter(([name, value]) => before[name] !== value));
  const made = patched(before, patch);
  return JSON.stringify(made) === JSON.stringify(after) ? patch : null;
}

/** One client's line. Nothing moves by itself: `serve` lets the server read a command, `deliver` lets the client hear what waits. */
export class Line {
  readonly commands: { name: string; payload: Record<string, unknown> }[] = [];
  isSubscribed = false;
  isUp = false;
  /** Answers a command instead of the server; undefined: the server does. */
  instead: ((name: string, payload: Record<string, unknown>) => unknown) | null = null;
  readonly #board: Board;
  #handlers: SocketHandlers | null = null;
  #asked: { name: string; payload: Record<string, unknown>; done: (answer: unknown) => void }[] = [];
  /** Of each command, answered or not; a promise that was answered does not mind. */
  #fails: (() => void)[] = [];
  #said: (() => void)[] = [];
  /** Answers to `page` that the server has, and has not sent yet: they do not wait for publications. */
  #held: (() => void)[] = [];
  /** The offset that the client was told last, and what it still has to be told: the newest of each key. */
  #told = 0;
  #skipped: Map<string, Entry> | null = null;

  constructor(board: Board) {
    this.#board = board;
  }

  readonly open: OpenSocket = (handlers) => {
    this.#handlers = handlers;
    return {
      connect: () =>
        queueMicrotask(() => {
          this.isUp = true;
          handlers.connected();
        }),
      disconnect: () => this.#gone(),
      request: (name, payload, _, heard) =>
        new Promise((resolve, reject) => {
          this.commands.push({ name, payload: payload as Record<string, unknown> });
          this.#fails.push(() => reject(new Error("socket has been disconnected")));
          const done = (answer: unknown) => {
            heard?.(answer);
            resolve(answer);
          };
          this.#asked.push({ name, payload: payload as Record<string, unknown>, done });
        }),
    };
  };

  /** The server reads the next command. */
  serve(): boolean {
    const asked = this.#asked.shift();
    if (!asked) return false;
    const { name, payload, done } = asked;
    const instead = this.instead?.(name, payload);
    const answer = instead === undefined ? this.#answer(name, payload) : instead;
    const say = () => done(answer);
    if (name === "page") this.#held.push(say);
    else this.#said.push(say);
    return true;
  }

  /** The server sends an answer that it has held back. */
  release(): boolean {
    const say = this.#held.shift();
    if (say) this.#said.push(say);
    return say !== undefined;
  }

  /** The client hears the next thing that was said. */
  deliver(): boolean {
    const say = this.#said.shift();
    say?.();
    return say !== undefined;
  }

  /** The server announces; a client that is slow is told later, and of each key only the newest. */
  announce(entry: Entry, isSlow = false): void {
    if (!this.isUp || !this.isSubscribed) return;
    if (this.#skipped || isSlow) {
      this.#skipped ??= new Map();
      const { patch: _, ...whole } = entry;
      this.#skipped.set(entry.key, { ...whole, data: entry.data });
      return;
    }
    this.#tell(entry);
  }

  /** A slow client has room again. */
  catchUp(): void {
    if (!this.#skipped) return;
    const skipped = [...this.#skipped.values()].sort((one, other) => one.offset - other.offset);
    this.#skipped = null;
    for (const entry of skipped) this.#tell(entry);
    const { offset, mark } = this.#board.position;
    if (this.#told < offset) this.#say({ topic: this.#board.topic, offset, mark, after: this.#told });
    this.#told = offset;
  }

  unsubscribe(code: number, reason: string): void {
    this.isSubscribed = false;
    const told = { topic: this.#board.topic, code, reason };
    this.#said.push(() => this.#handlers?.event("unsubscribed", told));
  }

  break(): void {
    if (!this.isUp) return;
    this.#gone();
    this.#handlers?.closed({ byServer: false, code: null });
  }

  #tell(entry: Entry): void {
    const { patch, data, ...rest } = entry;
    const after = this.#told === entry.offset - 1 ? {} : { after: this.#told };
    this.#told = entry.offset;
    this.#say(structuredClone({ ...rest, ...after, ...(patch === undefined ? { data } : { patch }) }));
  }

  #say(told: object): void {
    this.#said.push(() => this.#handlers?.event("publication", told));
  }

  #answer(name: string, payload: Record<string, unknown>): unknown {
    const board = this.#board;
    if (name === "unsubscribe") {
      this.isSubscribed = false;
      return { topic: board.topic };
    }
    if (name === "page") {
      if (!this.isSubscribed) return { error: { code: "not_found", message: "not subscribed" } };
      return { ...board.position, ...board.page(String(payload["after"])) };
    }
    if (name === "publish") {
      const { key, event, data, id } = payload as { key: string; event?: string; data: unknown; id: string };
      if (board.published.has(id)) return { topic: board.topic, ...board.position, dropped: "duplicate" };
      board.published.add(id);
      this.announce(event === "remove" ? board.remove(key) : board.set(key, data));
      return { topic: board.topic, ...board.position, class: "recoverable" };
    }
    this.isSubscribed = true;
    this.#told = board.log.length;
    this.#skipped = null;
    return board.answer(payload["since"] as Position | undefined);
  }

  #gone(): void {
    this.isUp = false;
    this.isSubscribed = false;
    this.#said = [];
    this.#held = [];
    this.#skipped = null;
    this.#asked = [];
    for (const fail of this.#fails.splice(0)) fail();
  }
}
