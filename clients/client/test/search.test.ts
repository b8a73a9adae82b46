/** Live search: the publications of a query's topic, applied to old results, give those of today. */

import { expect, test } from "vitest";
import { createClient } from "../src/index.ts";
import { type Results, search, searchKind } from "../src/search.ts";
import type { Publication } from "../src/wire.ts";
import { Board, Line } from "./support/board.ts";
import { seeded, token } from "./support/server.ts";

interface Shoe {
  readonly price: number;
}

const LIMIT = 3;
const kind = searchKind<Shoe>(LIMIT);

function hit(id: string, price: number, offset = 1) {
  return { id, data: { price }, version: 0, offset };
}

function results(...items: ReturnType<typeof hit>[]): Results<Shoe> {
  return kind.start({ items: items.slice(0, LIMIT), more: items.length > LIMIT, counts: { total: items.length } });
}

function told(event: string, data: unknown): Publication {
  return { topic: "search:shoes/x", offset: 1, mark: 1, event, data };
}

test("what enters, changes, moves and leaves is followed, and the others stay what they are", () => {
  const counts = { total: 9 };
  const before = results(hit("a", 1), hit("b", 2), hit("c", 3));
  const entered = kind.apply(before, told("entered", { id: "d", item: hit("d", 1.5), at: 1, more: true, counts }));
  expect(entered.items.map(({ id }) => id)).toEqual(["a", "d", "b"]);
  expect(entered).toMatchObject({ more: true, total: 9 });
  expect(entered.items[2]).toBe(before.items[1]);
  expect(before.items.map(({ id }) => id)).toEqual(["a", "b", "c"]);
  const moved = kind.apply(entered, told("moved", { id: "a", item: hit("a", 5, 2), at: 2, more: true, counts }));
  expect(moved.items.map(({ id, data }) => [id, data.price])).toEqual([
    ["d", 1.5],
    ["b", 2],
    ["a", 5],
  ]);
  const left = kind.apply(moved, told("left", { id: "b", more: false, counts: { total: 2 } }));
  expect(left.items.map(({ id }) => id)).toEqual(["d", "a"]);
  const counted = kind.apply(left, told("counted", { more: true, counts: { total: 7 } }));
  expect(counted).toEqual({ items: left.items, more: true, total: 7 });
});

test("whatever steps lead from one window to another, in any order of the documents", () => {
  const random = seeded(5);
  let all = ["a", "b", "c", "d", "e"].map((id, n) => hit(id, n));
  let state = results(...all);
  for (let offset = 2; offset < 300; offset++) {
    const id = all[Math.floor(random() * all.length)]?.id ?? "";
    const after = [...all.filter((each) => each.id !== id), hit(id, random(), offset)].sort(
      (one, other) => one.data.price - other.data.price,
    );
    for (const step of steps(all.slice(0, LIMIT), after.slice(0, LIMIT))) {
      state = kind.apply(state, told(step.item ? "moved" : "left", { ...step, more: true, counts: { total: 5 } }));
    }
    all = after;
    expect(state).toEqual(results(...all));
  }
});

test("what are no results is said to be none", () => {
  for (const wrong of [null, {}, { items: [] }, { counts: {} }]) expect(() => kind.start(wrong)).toThrow("no results");
  expect(() => kind.apply(results(), told("left", null))).toThrow("no results");
});

/** As the server says it: those that go, then each place that differs. */
function* steps(before: ReturnType<typeof hit>[], after: ReturnType<typeof hit>[]) {
  const there = before.filter(({ id }) => after.some((each) => each.id === id));
  for (const { id } of before) if (!after.some((each) => each.id === id)) yield { id };
  for (const [at, item] of after.entries()) {
    if (there[at]?.id === item.id && there[at]?.offset === item.offset) continue;
    yield { id: item.id, item, at };
    const old = there.findIndex(({ id }) => id === item.id);
    if (old >= 0) there.splice(old, 1);
    there.splice(at, 0, item);
  }
}

test("queries that nobody watches any longer are forgotten, the watched ones are shared for ever", () => {
  const client = createClient({ getToken: () => token("ann"), openSocket: new Line(new Board()).open });
  const first = search(client, "shoes", { text: "r" });
  expect(search(client, "shoes", { text: "r" })).toBe(first);
  const watched = search(client, "shoes", { text: "red" });
  watched.subscribe(() => undefined);
  for (let n = 0; n < 200; n++) search(client, "shoes", { text: `red${n}` });
  expect(search(client, "shoes", { text: "r" })).not.toBe(first);
  expect(search(client, "shoes", { text: "red" })).toBe(watched);
  expect(search(client, "shoes", { text: "red199" })).toBe(search(client, "shoes", { text: "red199" }));
  client.close();
});
