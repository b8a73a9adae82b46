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
});
