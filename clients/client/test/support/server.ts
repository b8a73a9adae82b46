/**
 * A server in a few lines of values: one inbox with its log, sockets that tests open, break and refuse, and the HTTP calls
 * beside it. What it says has the shapes of the real one (docs/reference).
 */

import type { Heard, OpenSocket, SocketHandlers } from "../../src/socket.ts";
import type { Message, Position, Publication } from "../../src/wire.ts";

const WINDOW = 50;

/** The inbox of one person, as the server keeps it. */
export class InboxModel {
  epoch = "e1";
  mark = 0;
  log: Publication[] = [];
  messages: Message[] = [];
  /** Offsets up to this are kept no longer. */
  trimmed = 0;
  readonly topic: string;
  #seq = 0;

  constructor(user: string) {
    this.topic = `inbox:${user}`;
  }

  get position(): Position {
    return { epoch: this.epoch, offset: this.log.length, mark: this.mark };
  }

  get visible(): Message[] {
    return this.messages.filter((message) => !message.archived_at).sort((a, b) => b.seq - a.seq);
  }

  get unread(): number {
    return this.visible.filter((message) => !message.read_at).length;
  }

  snapshot() {
    return structuredClone({
      items: this.visible.slice(0, WINDOW),
      more: this.visible.length > WINDOW,
      unread: this.unread,
    });
  }

  add(title = "Hello"): Publication {
    const seq = ++this.#seq;
    const message: Message = {
      id: `m${seq}`,
      seq,
      notification_id: `n${seq}`,
      title,
      body: "",
      data: null,
      action_url: null,
      created_at: at(seq),
      read_at: null,
      archived_at: null,
      seen_at: null,
    };
    this.messages.push(message);
    return this.#append("added", { message: { ...message } });
  }

  change(id: string, action: "read" | "unread" | "archive" | "unarchive"): Publication | null {
    const before = this.messages.find((message) => message.id === id);
    if (!before) return null;
    const now = at(this.log.length + 1);
    const window = this.visible.slice(0, WINDOW);
    const after = {
      ...before,
      read_at: action === "read" ? (before.read_at ?? now) : action === "unread" ? null : before.read_at,
      archived_at:
        action === "archive" ? (before.archived_at ?? now) : action === "unarchive" ? null : before.archived_at,
      // Who has read it has seen it, and goes on to have seen it.
      seen_at: before.seen_at ?? (action === "read" ? now : null),
    };
    if (after.read_at === before.read_at && after.archived_at === before.archived_at) return null;
    this.messages = this.messages.map((message) => (message.id === id ? after : message));
    const entered = this.visible.slice(0, WINDOW).find((message) => !window.some((old) => old.id === message.id));
    return this.#append("changed", {
      id,
      read_at: after.read_at,
      archived_at: after.archived_at,
      seen_at: after.seen_at,
      ...(action === "unarchive" && { message: { ...after } }),
      ...(action === "archive" && entered && { entered: { ...entered } }),
    });
  }

  readAll(): Publication | null {
    if (this.unread === 0) return null;
    const now = at(this.log.length + 1);
    this.messages = this.messages.map((m) =>
      m.archived_at || m.read_at ? m : { ...m, read_at: now, seen_at: m.seen_at ?? now },
    );
    return this.#append("all_read", { upto: this.#seq, read_at: now });
  }

  archiveAll(): Publication | null {
    if (this.visible.length === 0) return null;
    const now = at(this.log.length + 1);
    this.messages = this.messages.map((m) => (m.archived_at ? m : { ...m, archived_at: now }));
    return this.#append("all_archived", { upto: this.#seq, archived_at: now });
  }

  /** Begins the log anew, as after a loss; the messages stay. */
  loseLog(): void {
    this.epoch = `${this.epoch}+`;
    this.mark = 0;
    this.log = [];
    this.trimmed = 0;
  }

  answer(since: Position | undefined): object {
    const base = { topic: this.topic, ...this.position, class: "durable", log: { size: 1_000, age_s: 60 } };
    const known = since && (since.offset === 0 ? 0 : this.log[since.offset - 1]?.mark);
    const mayRecover = since && since.epoch === this.epoch && since.mark === known && since.offset >= this.trimmed;
    if (!mayRecover) return { ...base, recovered: false, snapshot: this.snapshot() };
    return { ...base, recovered: true, publications: structuredClone(this.log.slice(since.offset)) };
  }

  page(limit: number, cursor: string | null) {
    const rest = this.visible.filter((message) => cursor === null || message.seq < Number(cursor));
    const items = rest.slice(0, limit);
    const next = rest.length > limit ? String(items.at(-1)?.seq) : null;
    return structuredClone({ items, next, unread: this.unread, position: this.position });
  }

  #append(event: string, data: object): Publication {
    const offset = this.log.length + 1;
    this.mark = (this.mark + 1_000_003 * offset) % 2 ** 32;
    const publication = {
      topic: this.topic,
      offset,
      mark: this.mark,
      event,
      data: { ...data, unread: this.unread },
    };
    this.log.push(publication);
    return publication;
  }
}

function at(second: number): string {
  return new Date(Date.UTC(2026, 0, 1) + second * 1_000).toISOString();
}

/** What the fake server does with requests and connections. Tests change it as they go. */
export class FakeServer {
  readonly inbox: InboxModel;
  /** Tokens of the connections that were tried. */
  readonly tokens: string[] = [];
  /** Commands that arrived. */
  readonly requests: { name: string; payload: Record<string, unknown> }[] = [];
  /** Refuses a connection: an error's `data`, `unreachable`, or null: lets it in. */
  refuse: (token: string) => object | "unreachable" | null = () => null;
  /** Answers a command instead of the server. */
  instead: ((name: string) => unknown) | null = null;
  /** Keeps answers back until they are released. */
  isSlow = false;
  isSubscribed = false;
  #held: (() => void)[] = [];
  #handlers: SocketHandlers | null = null;
  #isUp = false;
  #turn = 0;
  #fail: (() => void)[] = [];

  constructor(user = "ann") {
    this.inbox = new InboxModel(user);
  }

  readonly open: OpenSocket = (handlers) => {
    this.#handlers = handlers;
    return {
      connect: (token) => {
        this.tokens.push(token);
        const turn = ++this.#turn;
        queueMicrotask(() => {
          if (turn !== this.#turn) return;
          const refusal = this.refuse(token);
          if (refusal === "unreachable") return handlers.refused({ message: "websocket error", data: undefined });
          if (refusal) return handlers.refused({ message: "refused", data: refusal });
          this.#isUp = true;
          handlers.connected();
        });
      },
      disconnect: () => {
        this.#turn++;
        this.#gone();
      },
      request: (name, payload, _, heard) => this.#request(name, payload as Record<string, unknown>, heard),
    };
  };

  get isUp(): boolean {
    return this.#isUp;
  }

  /** Sends a publication to whoever is subscribed. */
  send(publication: Publication | null): void {
    if (publication && this.#isUp && this.isSubscribed) {
      this.#handlers?.event("publication", structuredClone(publication));
    }
  }

  unsubscribe(code: number, reason: string): void {
    this.isSubscribed = false;
    this.#handlers?.event("unsubscribed", { topic: this.inbox.topic, code, reason });
  }

  /** Breaks the connection. */
  break(why: { byServer?: boolean; code?: number } = {}): void {
    if (!this.#isUp) return;
    this.#gone();
    this.#handlers?.closed({ byServer: why.byServer ?? false, code: why.code ?? null });
  }

  release(): void {
    for (const answer of this.#held.splice(0)) answer();
  }

  #gone(): void {
    this.#isUp = false;
    this.isSubscribed = false;
    this.#held = [];
    for (const fail of this.#fail.splice(0)) fail();
  }

  #request(name: string, payload: Record<string, unknown>, heard?: Heard): Promise<unknown> {
    this.requests.push({ name, payload });
    return new Promise((resolve, reject) => {
      this.#fail.push(() => reject(new Error("socket has been disconnected")));
      const answer = () => {
        const said = this.#answer(name, payload);
        heard?.(said);
        resolve(said);
      };
      if (this.isSlow) this.#held.push(answer);
      else queueMicrotask(answer);
    });
  }

  #answer(name: string, payload: Record<string, unknown>): unknown {
    const instead = this.instead?.(name);
    if (instead !== undefined) return instead;
    if (name === "unsubscribe") {
      this.isSubscribed = false;
      return { topic: payload["topic"] };
    }
    if (payload["topic"] !== this.inbox.topic) return { error: { code: "forbidden", message: "not yours" } };
    this.isSubscribed = true;
    return this.inbox.answer(payload["since"] as Position | undefined);
  }
}

/** A JWT for tests; nobody checks its signature here. */
export function token(sub: string, expiresAt?: number, nonce = 0): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "none" })}.${part({ sub, nonce, ...(expiresAt && { exp: expiresAt / 1_000 }) })}.`;
}

/** Lets everything happen that is waiting only for its turn. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 30; turn++) await Promise.resolve();
}

/** Numbers in [0, 1) that are the same for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
