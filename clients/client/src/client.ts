/** The client: one connection, what lives on it, and the calls beside it. */

import { Connection, type ConnectionState } from "./connection.ts";
import type { Kind } from "./follower.ts";
import { type Call, type Fetch, Http } from "./http.ts";
import { Inbox } from "./inbox/inbox.ts";
import { newKey } from "./keys.ts";
import { type LiveOptions, LiveTopic } from "./live/live-topic.ts";
import { type OpenSocket, socketIo } from "./socket.ts";
import type { Readable } from "./store.ts";
import { type GetToken, Tokens } from "./tokens.ts";
import { Topic, type Wish } from "./topic.ts";
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
  readonly connection: Readable<ConnectionState> & Pick<Connection, "connect" | "close" | "user">;
  /** The inbox of the token's user. */
  readonly inbox: Inbox;
  /** The server, without a last slash; "" is the page's own. */
  readonly url: string;
  /** A map or a stream, shared by all who ask for it by the same name and `params`; what the first one asked for counts. */
  topic(name: string, options?: LiveOptions): LiveTopic;
  /** A topic whose snapshot and publications mean something else; shared in the same way. */
  topic<State>(name: string, kind: Kind<State>, wish?: Wish): Topic<State>;
  /** Tells people something. Safe to repeat with the same key; without one it takes a new key, and repeats by itself. */
  notify(notification: CreateNotification, idempotencyKey?: string): Promise<Accepted>;
  /** Any other call of the HTTP API, as the token's user. */
  call<T>(call: Call): Promise<T>;
  /** Ends the connection and every subscription. */
  close(): void;
}

const NOTIFY_RETRIES = 2;
// Topics; where there are more, the oldest of those that nobody watches are shared no longer.
const KNOWN = 100;

export function createClient(options: ClientOptions): Client {
  const url = options.url ?? "";
  const tokens = new Tokens(options.getToken);
  const http = new Http(url, tokens, options.fetch);
  const open = options.openSocket ?? socketIo(url, options.namespace ?? "/clarion", options.path ?? "/socket.io/");
  const connection = new Connection({ tokens, open });
  const topics = new Map<string, Topic<unknown> | LiveTopic>();
  function topic(name: string, options?: LiveOptions): LiveTopic;
  function topic<State>(name: string, kind: Kind<State>, wish?: Wish): Topic<State>;
  function topic(name: string, given: LiveOptions | Kind<unknown> = {}, wish?: Wish): LiveTopic | Topic<unknown> {
    const isKind = "apply" in given;
    const params = (isKind ? wish : given)?.params;
    const key = params ? name + JSON.stringify(params) : name;
    const known = topics.get(key);
    if (known && isKind === known instanceof Topic) return known;
    // Whoever asks for something else with each stroke of a key does not ask for the same again.
    for (const [old, each] of topics) {
      if (topics.size < KNOWN) break;
      if (each.getSnapshot().status === "idle") topics.delete(old);
    }
    const made = isKind ? new Topic(name, given, connection, undefined, wish) : new LiveTopic(name, connection, given);
    topics.set(key, made);
    return made;
  }
  return {
    connection,
    inbox: new Inbox(connection, http),
    url: http.url,
    call: (call) => http.call(call),
    topic,
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
