/** `@clarion/client`: connection, topics and inbox for browsers and Node, without a framework. */

export { type Client, type ClientOptions, createClient } from "./client.ts";
export { type Advice, adviceForCode, adviceForError, codes } from "./codes.ts";
export type { ConnectionState, ConnectionStatus } from "./connection.ts";
export { ClarionError, type Fault } from "./errors.ts";
export type { Kind } from "./follower.ts";
export type { Call } from "./http.ts";
export type { Inbox, InboxView } from "./inbox/inbox.ts";
export { newKey } from "./keys.ts";
export type { Item } from "./live/items.ts";
export type { Change, LiveOptions, LiveTopic, LiveView, PublishOptions } from "./live/live-topic.ts";
export { createSession, type Session, type SessionOptions, type SessionState } from "./session.ts";
export { createStore, type Readable, type Store } from "./store.ts";
export type { GetToken } from "./tokens.ts";
export type { Topic, TopicStatus, TopicView, Wish } from "./topic.ts";
export type {
  Accepted,
  Button,
  CreateNotification,
  InboxPage,
  Message,
  Position,
  Publication,
  Published,
  Recipient,
  User,
} from "./wire.ts";
