/** Dashboards: what a page shows is what the server would give it afresh. */

import { readFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Connection } from "../src/connection.ts";
import { type Columns, Dashboard, dashboard, fewer, isStale, points, type WidgetData } from "../src/dashboard.ts";
import { createClient } from "../src/index.ts";
import { Items } from "../src/live/items.ts";
import { LiveTopic } from "../src/live/live-topic.ts";
import { Tokens } from "../src/tokens.ts";
import { Board, Line } from "./support/board.ts";
import { settle, token } from "./support/server.ts";

interface Vectors {
  readonly publications: readonly { key: string; event: string; data: unknown; shown: unknown }[];
  readonly points: Columns;
  readonly fewer: readonly (Columns & { readonly width: number })[];
}

const vectors: Vectors = JSON.parse(
  readFileSync(new URL("../../../tests/data/dashboard.json", import.meta.url), "utf8"),
);
const definition = {
  title: "Sales",
  columns: 12,
  widgets: [
    { type: "stat", id: "a", title: "A", place: null },
    { type: "series", id: "b", title: "B", place: null },
  ],
};

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function setup() {
  const board = new Board();
  const line = new Line(board);
  const connection = new Connection({ tokens: new Tokens(() => token("ann")), open: line.open, random: () => 0.5 });
  const sales = new Dashboard(new LiveTopic("board:x", connection));
  const flow = async () => {
    for (let turn = 0; turn < 200; turn++) {
      await settle();
      if (!line.serve() && !line.release() && !line.deliver()) return;
    }
  };
  return { board, line, sales, flow };
}

test("publications applied to what was there are what the server has, for every type of widget", () => {
  const items = new Items({ items: [], more: false });
  let types = 0;
  for (const [n, { key, event, data, shown }] of vectors.publications.entries()) {
    types += items.values.has(key) ? 0 : 1;
    items.apply({ topic: "dashboard:x", offset: n + 1, mark: n, event, key, data });
    expect(items.values.get(key)?.data).toEqual(shown);
  }
  expect([types, vectors.publications.length > 100]).toEqual([6, true]);
});

test("of more points than a screen shows those are chosen that the server would choose", () => {
  for (const { width, ...expected } of vectors.fewer) expect(fewer(vectors.points, width)).toEqual(expected);
  const many: Columns = { t: [1, 2, 3, 4, 5, 6], v: Array.from({ length: 9 }, (_, n) => [n, 1, n, 7, n, 2]) };
  expect(fewer(many, 3).t.length).toBeLessThanOrEqual(3);
});

test("a page sees widgets in their order; those that did not change stay the same objects", async () => {
  const { board, line, sales, flow } = setup();
  board.set("a", { value: 1, at: 1 });
  board.set("definition", definition);
  expect(sales.getSnapshot()).toMatchObject({ status: "idle", widgets: [], isWhole: false });
  let calls = 0;
  const stop = sales.subscribe(() => calls++);
  await flow();
  const before = sales.getSnapshot();
  expect(before).toMatchObject({ status: "live", title: "Sales", columns: 12, isWhole: true, error: null });
  expect(before.widgets.map(({ data }) => data)).toEqual([{ value: 1, at: 1 }, undefined]);
  expect(sales.getSnapshot()).toBe(before);
  calls = 0;
  line.announce(board.set("b", { t: [1, 2], v: [[3, 4]], at: 2 } satisfies WidgetData));
  await flow();
  const { widgets } = sales.getSnapshot();
  expect(calls).toBe(1);
  expect(widgets[0]).toBe(before.widgets[0]);
  const [a, b] = widgets;
  if (!a || !b) throw new Error("two widgets");
  expect([points(a), points(b, 300)]).toEqual([null, { t: [1, 2], v: [[3, 4]] }]);
  line.announce(board.set("definition", { ...definition, title: "More" }));
  await flow();
  expect(sales.getSnapshot()).toMatchObject({ title: "More" });
  stop();
});

test("a widget is old where its source gives nothing, or nothing was given for long", () => {
  const widget = { type: "gauge", id: "a", title: "", place: null } as const;
  const data = { value: 1, at: 1_000 };
  expect(isStale({ definition: widget, data }, 1e12)).toBe(false);
  expect(isStale({ definition: { ...widget, stale_after_s: 5 }, data }, 6_000)).toBe(false);
  expect(isStale({ definition: { ...widget, stale_after_s: 5 }, data }, 6_001)).toBe(true);
  expect(isStale({ definition: { ...widget, stale_after_s: 5, source: { every_s: 1 } }, data }, 1e12)).toBe(false);
  expect(isStale({ definition: { ...widget, stale_after_s: 5 }, data: undefined }, 1e12)).toBe(false);
  expect(isStale({ definition: widget, data: { ...data, stale: { since: 1, code: "unavailable" } } }, 0)).toBe(true);
});

test("what is given is published under the widget's key", async () => {
  const { line, sales, flow } = setup();
  const stop = sales.subscribe(() => undefined);
  await flow();
  const given = [
    sales.set("a", 1),
    sales.append("b", { v: [[2]] }),
    sales.increment("a"),
    sales.increment("c", { x: 2 }),
  ];
  await flow();
  await Promise.all(given);
  const said = line.commands.filter(({ name }) => name === "publish").map(({ payload }) => payload);
  expect(said.map(({ event, key, data }) => [event, key, data])).toEqual([
    ["set", "a", 1],
    ["append", "b", { v: [[2]] }],
    ["increment", "a", 1],
    ["increment", "c", { x: 2 }],
  ]);
  stop();
});

test("all who ask for a dashboard share one", () => {
  const client = createClient({ getToken: () => token("ann") });
  expect(dashboard(client, "sales")).toBe(dashboard(client, "sales"));
  client.close();
});
