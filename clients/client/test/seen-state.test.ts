import { expect, test } from "vitest";
import { EMPTY, inboxKind } from "../src/inbox/state.ts";
import type { Publication } from "../src/wire.ts";

const AT = "2026-01-01T00:00:00Z";
const message = (seq: number) => ({ id: `m${seq}`, seq, title: "Hello", read_at: null, seen_at: null });
const told = (event: string, data: object) => ({ event, data }) as unknown as Publication;
const start = () => inboxKind.start({ items: [message(2), message(1)], more: false, unread: 2, unseen: 2 }) ?? EMPTY;

test("what was seen on another device is seen here: some, all, or by being read", () => {
  const some = inboxKind.apply(start(), told("seen", { ids: ["m1"], seen_at: AT, unread: 2, unseen: 1 }));
  expect([some.items.map((item) => item.seen_at), some.unread, some.unseen]).toEqual([[null, AT], 2, 1]);
  const all = inboxKind.apply(some, told("all_seen", { upto: 2, seen_at: "later", unread: 2, unseen: 0 }));
  expect([all.items.map((item) => [item.seen_at, item.read_at]), all.unseen]).toEqual([
    [
      ["later", null],
      [AT, null],
    ],
    0,
  ]);
  const read = inboxKind.apply(some, told("all_read", { upto: 2, read_at: "then", unread: 0, unseen: 0 }));
  expect(read.items.map((item) => [item.seen_at, item.read_at])).toEqual([
    ["then", "then"],
    [AT, "then"],
  ]);
});

test("what is kept no longer is taken out, and nothing else", () => {
  const left = inboxKind.apply(start(), told("removed", { ids: ["m1"], unread: 1, unseen: 1 }));
  expect([left.items.map((item) => item.id), left.unread, left.hasMore]).toEqual([["m2"], 1, false]);
  const older = { ...start().items[1], id: "m0", seq: 0 };
  const next = inboxKind.apply(start(), told("removed", { ids: ["m1"], entered: older, unread: 2, unseen: 2 }));
  expect([next.items.map((item) => item.id), next.unread]).toEqual([["m2", "m0"], 2]);
});

test("a button that was pressed elsewhere is pressed here", () => {
  const done = { action: "yes", at: AT };
  const change = { id: "m1", read_at: AT, archived_at: null, seen_at: AT, clicked_at: AT, done, unread: 1, unseen: 1 };
  const pressed = inboxKind.apply(start(), told("changed", change));
  expect(pressed.items.map((item) => item.done)).toEqual([undefined, done]);
});

test("what another device keeps on top, follows, puts off or reads of one category is so here", () => {
  const change = { id: "m1", read_at: null, archived_at: null, seen_at: null, unread: 2, unseen: 2 };
  const pinned = inboxKind.apply(start(), told("changed", { ...change, pinned_at: AT, clicked_at: AT }));
  expect(pinned.items.map((item) => [item.pinned_at, item.clicked_at])).toEqual([
    [undefined, undefined],
    [AT, AT],
  ]);
  const unpinned = inboxKind.apply(pinned, told("changed", { ...change, clicked_at: AT }));
  expect(unpinned.items.map((item) => [item.pinned_at, item.clicked_at])[1]).toEqual([undefined, AT]);
  const putOff = inboxKind.apply(unpinned, told("changed", { ...change, snoozed_until: AT, unread: 1, unseen: 1 }));
  expect([putOff.items.map((item) => item.id), putOff.unread]).toEqual([["m2"], 1]);
  const back = { ...message(3), id: "m1", category: "news" };
  const awake = inboxKind.apply(putOff, told("added", { message: back, unread: 2, unseen: 2 }));
  expect(awake.items.map((item) => [item.id, item.seq])).toEqual([
    ["m1", 3],
    ["m2", 2],
  ]);
  const some = { upto: 3, category: "news", read_at: AT, unread: 1, unseen: 1 };
  const read = inboxKind.apply(awake, told("some_read", some));
  expect([read.items.map((item) => item.read_at), read.unread]).toEqual([[AT, null], 1]);
  const tagged = inboxKind.apply(awake, told("added", { message: { ...message(4), tags: ["a", "b"] }, unread: 3 }));
  const seen = inboxKind.apply(tagged, told("some_seen", { upto: 4, tag: "b", seen_at: AT, unseen: 2 }));
  expect([seen.items.map((item) => item.seen_at ?? null), seen.unseen]).toEqual([[AT, null, null], 2]);
});
