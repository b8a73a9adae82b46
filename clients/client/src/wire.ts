/** What travels: the shapes of HTTP answers and socket events, and the checks that a value has them. */

/** How far a log is known: up to `offset` and including it. Equal `mark`s mean equal prefixes. */
export interface Position {
  readonly epoch: string;
  readonly offset: number;
  readonly mark: number;
}

/** What the server says of a topic's log: a publication, or, without `event`, just where the client stands now. */
export interface Told {
  readonly topic: string;
  readonly offset: number;
  readonly mark: number;
  /** The offset that this follows; absent: the one before. What lies between does not concern this client. */
  readonly after?: number;
  readonly event?: string;
}

/** One change of a topic. */
export interface Publication<Data = unknown> extends Told {
  readonly event: string;
  /** Of a map's item. */
  readonly key?: string;
  readonly data: Data;
  /** In place of `data`: a merge patch (RFC 7396) of the item's value before. */
  readonly patch?: unknown;
}

/** An item of a map, as snapshots and pages have it; `offset` is of the publication that changed it last. */
export interface WireItem {
  readonly key: string;
  readonly data: unknown;
  readonly offset: number;
  readonly tags?: Readonly<Record<string, string>>;
}

/** A page of a map's state. `next`: behind which key the following one begins, where there is `more`. */
export interface ItemPage {
  readonly items: readonly WireItem[];
  readonly more: boolean;
  readonly next?: string;
}

/** The answer to `publish`: where the publication stands, and what it survives there. */
export interface Published extends Position {
  readonly topic: string;
  readonly class: "ephemeral" | "recoverable" | "durable";
  /** Why nothing was written: the same `id` was here before, or the key has a newer version. */
  readonly dropped?: "duplicate" | "older";
  /** When the item goes unless it is published again (s), where the kind says so. */
  readonly ttl_s?: number;
}

/** The answer to `subscribe`: what was missed, or the whole state. */
export interface Subscribed extends Position {
  readonly topic: string;
  readonly recovered: boolean;
  /** Why a position could not be continued: too_old, epoch_changed, diverged, too_many. */
  readonly reason?: string;
  readonly snapshot?: unknown;
  /** What was missed; or, beside a snapshot, what `rewind` asked for. */
  readonly publications?: readonly Told[];
}

/** The server ended a subscription; `code` says what to do (see codes). */
export interface Unsubscribed {
  readonly topic: string;
  readonly code: number;
  readonly reason: string;
}

/** Something that a person can do about a message: one of them, once. */
export interface Button {
  readonly id: string;
  readonly label: string;
  readonly url?: string;
  /** Absent: `default`. */
  readonly style?: "default" | "primary" | "danger";
}

/** A message in an inbox, over HTTP and sockets alike. Times are RFC 3339. */
export interface Message {
  readonly id: string;
  /** Orders the messages of an inbox; rises with each one that is added. */
  readonly seq: number;
  readonly notification_id: string;
  readonly title: string;
  readonly body: string;
  readonly data: Readonly<Record<string, unknown>> | null;
  readonly action_url: string | null;
  readonly created_at: string;
  readonly read_at: string | null;
  readonly archived_at: string | null;
  /** When it was first on a screen. */
  readonly seen_at?: string | null;
  /** What it is about. */
  readonly category?: string;
  /** What it is filed under. */
  readonly tags?: readonly string[];
  /** A later message of the same key takes its place. */
  readonly key?: string;
  /** When it goes by itself. */
  readonly expires_at?: string;
  readonly actions?: readonly Button[];
  /** Which of them was pressed. */
  readonly done?: { readonly action: string; readonly at: string } | undefined;
  /** Since when it is to stay on top. */
  readonly pinned_at?: string | undefined;
  /** When it comes back, as the newest; until then it is out of sight. */
  readonly snoozed_until?: string;
  /** When its link was first followed. */
  readonly clicked_at?: string | undefined;
}

/** A page of `GET /v1/inbox`. */
export interface InboxPage {
  readonly items: readonly Message[];
  /** Cursor of the page that follows; null on the last one. */
  readonly next: string | null;
  readonly unread: number;
  readonly unseen: number;
  readonly position: Position;
}

/** A subscriber, by id or described on the spot. */
export interface Recipient {
  readonly id: string;
  readonly name?: string;
  readonly email?: string;
  readonly locale?: string;
  readonly time_zone?: string;
  readonly attributes?: Readonly<Record<string, unknown>>;
}

/** `POST /v1/notifications`. */
export interface CreateNotification {
  readonly recipients: readonly (string | Recipient)[];
  readonly title: string;
  readonly body?: string;
  readonly data?: Readonly<Record<string, unknown>>;
  /** http(s), mailto, or a path on the same site. */
  readonly action_url?: string;
  /** What it is about, as people's preferences name it. */
  readonly category?: string;
  /** Takes the place of the earlier message of this key in each inbox, on top and unread; `quiet`: as read and seen as that was. */
  readonly key?: string;
  readonly quiet?: boolean;
  /** When it goes by itself: after a span (`2h`), or at a time. */
  readonly expires?: string;
  /** At most five. */
  readonly actions?: readonly Button[];
  /** What it is filed under: at most eight words. */
  readonly tags?: readonly string[];
}

/** The notification is on disk (`durability: fsync`) and in the inboxes. */
export interface Accepted {
  readonly id: string;
  readonly recipients: number;
  readonly durability: "fsync";
  readonly created_at: string;
}

/** Who is signed in. */
export interface User {
  readonly id: string;
  readonly name: string | null;
  /** What they may do beyond what every user may. */
  readonly scopes?: readonly string[];
}

/** The answer to login, register and refresh. */
export interface Grant {
  readonly user: User;
  readonly access_token: string;
  readonly token_type: "Bearer";
  /** Seconds. */
  readonly expires_in: number;
  readonly refresh_token: string;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isTold(value: unknown): value is Told {
  return (
    isObject(value) &&
    typeof value["topic"] === "string" &&
    Number.isSafeInteger(value["offset"]) &&
    Number.isSafeInteger(value["mark"])
  );
}

/** Whether something happened, or it only says where the client stands. */
export function isPublication(told: Told): told is Publication {
  return typeof told.event === "string";
}

export function isItemPage(value: unknown): value is ItemPage {
  if (!isObject(value) || !Array.isArray(value["items"]) || typeof value["more"] !== "boolean") return false;
  // The states of timelines, feeds and searches have items, too.
  return value["items"].every((item) => isObject(item) && typeof item["key"] === "string");
}

export function isUnsubscribed(value: unknown): value is Unsubscribed {
  return isObject(value) && typeof value["topic"] === "string" && Number.isSafeInteger(value["code"]);
}

export function isSubscribed(value: unknown): value is Subscribed {
  if (!isObject(value) || typeof value["topic"] !== "string" || typeof value["epoch"] !== "string") return false;
  if (!Number.isSafeInteger(value["offset"]) || !Number.isSafeInteger(value["mark"])) return false;
  const publications = value["publications"];
  if (publications === undefined) return value["recovered"] !== true;
  return Array.isArray(publications) && publications.every(isTold);
}
