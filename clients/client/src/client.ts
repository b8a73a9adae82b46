/** The client: one connection, what lives on it, and the calls beside it. */

import { Connection, type ConnectionState } from "./connection.ts";
import type { Kind } from "./follower.ts";
import { type Fetch, Http } from "./http.ts";
import { Inbox } from "./inbox/inbox.ts";
import { type OpenSocket, socketIo } from "./socket.ts";
import type { Readable } from "./store.ts";
import { type GetToken, Tokens } from "./tokens.ts";
import { Topic } from "./topic.ts";
import type { Accepted, CreateNotification } from "./wire.ts";

export interface ClientOptions {
  /** The server, such as `https://clarion.example`; default: the page's own. */
  readonly url?: string;
  /** Gives an access token; called again with `fresh: true` when it has been refused or will expire soon. */
  readonly getToken: GetToken;
  /** Path of the Socket.IO endpoint (the server's `realtime.path`). */
  readonly path?: string;
  /** Where Clarion's commands live (the server's `realtime.namespace`). */
  readonly namespace?: string;
  readonly fetch?: Fetch;
  /** Another way to open sockets; for tests. */
  readonly openSocket?: OpenSocket;
}

export interface Client {
  readonly connection: Readable<ConnectionState> & Pick<Connection, "connect" | "close">;
  /** The inbox of the token's user. */
  readonly inbox: Inbox;
  /** A topic that is shared by all who ask for it by the same name; the first one's kind counts. */
  topic<State>(name: string, kind: Kind<State>): Topic<State>;
  /** Tells people something. Safe to repeat with the same key; without one it takes a new key, and repeats by itself. */
  notify(notification: CreateNotification, idempotencyKey?: string): Promise<Accepted>;
  /** Ends the connection and every subscription. */
  close(): void;
}

const NOTIFY_RETRIES = 2;

export function createClient(options: ClientOptions): Client {
  const url = options.url ?? "";
  const tokens = new Tokens(options.getToken);
  const http = new Http(url, tokens, options.fetch);
  const open = options.openSocket ?? socketIo(url, options.namespace ?? "/clarion", options.path ?? "/socket.io/");
  const connection = new Connection({ tokens, open });
  const topics = new Map<string, Topic<unknown>>();
  return {
    connection,
    inbox: new Inbox(connection, http),
    topic<State>(name: string, kind: Kind<State>) {
      const topic = topics.get(name) ?? new Topic(name, kind as Kind<unknown>, connection);
      topics.set(name, topic);
      return topic as unknown as Topic<State>;
    },
    notify(notification, idempotencyKey = newKey()) {
      return http.call<Accepted>({
        method: "POST",
        path: "/v1/notifications",
        body: notification,
        headers: { "idempotency-key": idempotencyKey },
        retries: NOTIFY_RETRIES,
      });
    },
    close() {
      for (const topic of topics.values()) topic.end();
      connection.close();
    },
  };
}

/** An Idempotency-Key: 128 random bits. */
export function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
