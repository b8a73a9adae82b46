/**
 * The inbox as values: a snapshot, what publications change of it, and what a person has done that the server has not
 * confirmed yet. Pure.
 */

import type { Kind } from "../follower.ts";
import { isObject, type Message, type Publication } from "../wire.ts";

/** Messages that are neither archived nor put off: the newest ones without a hole, down to the last of `items`. */
export interface InboxState {
  /** Newest first. */
  readonly items: readonly Message[];
  readonly unread: number;
  /** Of these, those that nobody has had on a screen. */
  readonly unseen: number;
  /** Whether there may be older ones than those. */
  readonly hasMore: boolean;
}

export type Action = "read" | "unread" | "archive" | "unarchive";

/** What a person did. `message` is the one as they saw it; null: all, up to the newest one they saw. */
export type Intent =
  | { readonly action: Action; readonly message: Message; readonly at: string }
  | { readonly action: "read" | "archive"; readonly message: null; readonly upto: number; readonly at: string };

export const EMPTY: InboxState = { items: [], unread: 0, unseen: 0, hasMore: false };

export const inboxKind: Kind<InboxState> = { start, apply };

function start(snapshot: unknown): InboxState {
  if (!isObject(snapshot)) return EMPTY;
  return {
    items: Array.isArray(snapshot["items"]) ? snapshot["items"].filter(isMessage) : [],
    ...counts(snapshot, EMPTY),
    hasMore: snapshot["more"] === true,
  };
}

function apply(state: InboxState, publication: Publication): InboxState {
  const data = isObject(publication.data) ? publication.data : {};
  return { ...applyToItems(state, publication.event, data), ...counts(data, state) };
}

function counts(data: Record<string, unknown>, state: InboxState): Pick<InboxState, "unread" | "unseen"> {
  const { unread = state.unread, unseen = state.unseen } = data as Partial<InboxState>;
  return { unread, unseen };
}

function applyToItems(state: InboxState, event: string, data: Record<string, unknown>): InboxState {
  const { message, entered, ids, upto, tag } = data;
  const { id, category, read_at = null, seen_at = null, pinned_at, clicked_at, done } = data as Partial<Message>;
  const isMeant = (item: Message): unknown =>
    (ids as readonly string[] | undefined)?.includes(item.id) ??
    (id
      ? item.id === id
      : item.seq <= (upto as number) &&
        (!category || item.category === category) &&
        (!tag || item.tags?.includes(tag as string)));
  // Some left, or one message was `added` or `changed`.
  const isLeaving = event === "removed" || data["archived_at"] || data["snoozed_until"];
  if (isLeaving || id || message) {
    const changed = {
      ...state,
      items: isLeaving
        ? state.items.filter((item) => !isMeant(item))
        : update(state.items, isMeant, (item) => ({ ...item, read_at, seen_at, pinned_at, clicked_at, done })),
      hasMore: state.hasMore && event !== "all_archived",
    };
    // `entered` slides into the server's window when another leaves; ours may reach further down already.
    const whole = entered ?? message;
    return isMessage(whole) ? withMessage(changed, whole) : changed;
  }
  // What was read or seen: those named, or all up to one. What names neither changes nothing.
  return {
    ...state,
    items: update(state.items, isMeant, (item) => ({
      ...item,
      read_at: item.read_at ?? read_at,
      seen_at: item.seen_at ?? seen_at ?? read_at,
    })),
  };
}

/** The state with what older pages hold. */
export function withPage(state: InboxState, items: readonly Message[], hasMore: boolean): InboxState {
  return { ...state, items: items.reduce(insert, state.items), hasMore };
}

/** What the state will be once the server has done it. Where it has, nothing changes: so an intent may be applied at any time. */
export function intend(state: InboxState, intent: Intent): InboxState {
  if (intent.message === null) return intendAll(state, intent.action, intent.upto, intent.at);
  const { message, action, at } = intent;
  const known = state.items.find((item) => item.id === message.id);
  switch (action) {
    case "read":
    case "unread": {
      const isRead = action === "read";
      if (!known || !known.read_at !== isRead) return state;
      return {
        ...state,
        items: update(
          state.items,
          (item) => item === known,
          () => ({ ...known, read_at: isRead ? at : null }),
        ),
        unread: isRead ? less(state.unread) : state.unread + 1,
      };
    }
    case "archive":
      if (!known) return state;
      return {
        ...state,
        items: state.items.filter((item) => item !== known),
        unread: known.read_at === null ? less(state.unread) : state.unread,
      };
    case "unarchive": {
      if (known) return state;
      const back = { ...message, archived_at: null };
      return { ...withMessage(state, back), unread: state.unread + (back.read_at === null ? 1 : 0) };
    }
  }
}

function intendAll(state: InboxState, action: "read" | "archive", upto: number, at: string): InboxState {
  const isArchive = action === "archive";
  const items = isArchive
    ? state.items.filter((item) => item.seq > upto)
    : update(
        state.items,
        (item) => item.seq <= upto && item.read_at === null,
        (item) => ({ ...item, read_at: at }),
      );
  const unread = items.filter((item) => item.read_at === null).length;
  return { ...state, items, unread, hasMore: !isArchive && state.hasMore };
}

/** With a message at its place, unless that lies below the last one that is known: there a hole would be. */
function withMessage(state: InboxState, message: Message): InboxState {
  // `entered` is the next one below the window, so it never leaves a hole in a list that ends with the window.
  const isBelow = state.hasMore && state.items.length >= WINDOW && message.seq < (state.items.at(-1)?.seq ?? 0);
  return isBelow ? state : { ...state, items: insert(state.items, message) };
}

/** Messages of the server's snapshot. */
export const WINDOW = 50;

/** The list with the message at its place by `seq`, in place of an older version of it. */
function insert(items: readonly Message[], message: Message): readonly Message[] {
  return [...items.filter((item) => item.id !== message.id), message].sort((a, b) => b.seq - a.seq);
}

function update(
  items: readonly Message[],
  isMeant: (item: Message) => unknown,
  change: (item: Message) => Message,
): readonly Message[] {
  return items.map((item) => (isMeant(item) ? change(item) : item));
}

/** Of what a person does before the server has told how many there are. */
function less(unread: number): number {
  return unread && unread - 1;
}

export function isMessage(value: unknown): value is Message {
  return (
    isObject(value) &&
    typeof value["id"] === "string" &&
    typeof value["title"] === "string" &&
    Number.isSafeInteger(value["seq"])
  );
}
