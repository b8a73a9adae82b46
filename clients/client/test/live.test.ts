/** A map or a stream, live: whatever is lost, late, in pages or said twice, the client ends in the server's state and hears of each change once. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Connection } from "../src/connection.ts";
import { Items, patched } from "../src/live/items.ts";
import { type Change, type LiveOptions, LiveTopic } from "../src/live/live-topic.ts";
import { Tokens } from "../src/tokens.ts";
import { Board, Line } from "./support/board.ts";
import { seeded, settle, token } from "./support/server.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function setup(options: LiveOptions = {}) {
  const board = new Board();
  const line = new Line(board);
  const connection = new Connection({ tokens: new Tokens(() => token("ann")), open: line.open, random: () => 0.5 });
  const topic = new LiveTopic("board:x", connection, options);
  const changes: Change[] = [];
  const snapshots: number[] = [];
  /** Everything that waits arrives, in order. */
  const flow = async (held = true) => {
    for (let turn = 0; turn < 200; turn++) {
      await settle();
      if (!line.serve() && !(held && line.release()) && !line.deliver()) return;
    }
  };
  const watch = async () => {
    topic.on("snapshot", ({ items }) => snapshots.push(items.size));
    const stop = topic.on("change", (change) => changes.push(change));
    await flow();
    return stop;
  };
  const values = () => Object.fromEntries([...topic.snapshot.items].map(([key, { data }]) => [key, data]));
  return { board, line, connection, topic, changes, snapshots, flow, watch, values };
}

test("the state comes, then each change with the item's whole value, though the wire has patches", async () => {
  const { board, line, topic, changes, snapshots, flow, watch, values } = setup();
  board.set("a", { votes: 1, name: "Ann" });
  await watch();
  expect(topic.snapshot).toMatchObject({ status: "live", isWhole: true, recovered: false, position: { offset: 1 } });
  expect(snapshots).toEqual([1]);
  const patch = board.set("a", { votes: 2, name: "Ann" });
  expect(patch).toMatchObject({ patch: { votes: 2 } });
  for (const entry of [patch, board.set("b", 1), board.remove("b")]) line.announce(entry);
  await flow();
  expect(values()).toEqual({ a: { votes: 2, name: "Ann" } });
  expect(changes.map(({ event, key, data }) => [event, key, data])).toEqual([
    ["set", "a", { votes: 2, name: "Ann" }],
    ["set", "b", 1],
    ["remove", "b", null],
  ]);
});

test.each([
  ["empty", { items: [], more: false }],
  ["with items of its own", { items: [{ id: "1" }], more: true }],
])("a state that is no map's, %s, is there as it came, and each publication is a change", async (_, snapshot) => {
  const { board, line, topic, changes, snapshots, flow, watch } = setup();
  line.instead = (name) => (name === "subscribe" ? { ...board.answer(undefined), snapshot } : undefined);
  await watch();
  line.isSubscribed = true;
  const { key: _key, ...entry } = board.set("x", { item: { id: "2" }, more: false });
  line.announce({ ...entry, event: "added" } as Parameters<typeof line.announce>[0]);
  await flow();
  expect(topic.snapshot).toMatchObject({ isWhole: true, snapshot, publications: [{ event: "added", offset: 1 }] });
  expect(topic.snapshot.items.size).toBe(0);
  expect(snapshots).toEqual([0]);
  expect(changes).toEqual([{ event: "added", data: { item: { id: "2" }, more: false }, offset: 1 }]);
  expect(line.commands.map(({ name }) => name)).toEqual(["subscribe"]);
});

test("an item grows: columns lose what goes at both ends, and get what comes", async () => {
  const { board, line, changes, flow, watch, values } = setup();
  board.set("a", {
    t: [1, 2, 3],
    v: [
      [10, 20, 30],
      [0, null, 5],
    ],
    at: 3,
    odd: true,
  });
  await watch();
  const add = {
    t: [3, 4],
    v: [
      [31, 40],
      [5, 6],
    ],
    at: 4,
    odd: null,
  };
  line.announce(board.grow("a", { add, pop: 1, drop: 2 }));
  line.announce(board.grow("a", { add: { at: 5 } }));
  await flow();
  expect(values()).toEqual({
    a: {
      t: [3, 4],
      v: [
        [31, 40],
        [5, 6],
      ],
      at: 5,
    },
  });
  expect(changes.map(({ event, data }) => [event, data])).toEqual([
    [
      "append",
      {
        t: [3, 4],
        v: [
          [31, 40],
          [5, 6],
        ],
        at: 4,
      },
    ],
    [
      "append",
      {
        t: [3, 4],
        v: [
          [31, 40],
          [5, 6],
        ],
        at: 5,
      },
    ],
  ]);
});

test("what grows while its page is missing has grown when the page comes", async () => {
  const { board, line, flow, watch, values } = setup();
  for (const key of "abcdefgh") board.set(key, { t: [1] });
  const watching = watch();
  await settle();
  line.serve();
  line.deliver();
  await settle();
  line.serve();
  line.announce(board.grow("e", { add: { t: [2] } }));
  line.announce(board.grow("h", { add: { t: [3] }, drop: 1 }));
  while (line.deliver()) await settle();
  await watching;
  await flow();
  expect(values()).toMatchObject({ d: { t: [1] }, e: { t: [1, 2] }, h: { t: [3] } });
});

test("a large state comes in pages; nothing that comes beside them is lost or undone", async () => {
  const { board, line, topic, snapshots, flow, watch, values } = setup();
  for (const key of "abcdefgh") board.set(key, { n: 0, same: "x".repeat(9) });
  const watching = watch();
  await settle();
  line.serve();
  line.deliver();
  await settle();
  expect(topic.snapshot.isWhole).toBe(false);
  expect(topic.snapshot.items.size).toBe(3);
  // The server has read the page, its answer is held back: what happens now is newer than the page.
  line.serve();
  line.announce(board.set("d", { n: 1, same: "x".repeat(9) }));
  line.announce(board.remove("e"));
  line.announce(board.set("f", 7));
  line.announce(board.set("h", { n: 2, same: "x".repeat(9) }));
  while (line.deliver()) await settle();
  await watching;
  await flow();
  expect(topic.snapshot.isWhole).toBe(true);
  expect(snapshots).toEqual([7]);
  expect(values()).toEqual(Object.fromEntries([...board.items].map(([key, { data }]) => [key, data])));
});

test("a break while pages are missing: what was missed comes, and the pages go on where they were", async () => {
  const { board, line, topic, flow, watch, values } = setup();
  for (const key of "abcdefgh") board.set(key, key);
  const watching = watch();
  await settle();
  line.serve();
  line.deliver();
  await settle();
  line.break();
  board.set("a", "A");
  board.remove("g");
  await vi.advanceTimersByTimeAsync(2_000);
  await watching;
  await flow();
  expect(topic.snapshot).toMatchObject({ status: "live", recovered: true, isWhole: true });
  expect(values()).toEqual({ a: "A", b: "b", c: "c", d: "d", e: "e", f: "f", h: "h" });
});

test("a page that is refused is asked for again", async () => {
  const { board, line, topic, flow, watch } = setup();
  for (const key of "abcdef") board.set(key, key);
  let refusals = 2;
  line.instead = (name) =>
    name === "page" && refusals-- > 0 ? { error: { code: "unavailable", message: "away" } } : undefined;
  await watch();
  expect(topic.snapshot.isWhole).toBe(false);
  for (let n = 0; n < 3; n++) {
    await vi.advanceTimersByTimeAsync(5_000);
    await flow();
  }
  expect(topic.snapshot.isWhole).toBe(true);
});

test("a stream has its newest publications, from before too, and tells of each once", async () => {
  const { line, topic, changes, flow, watch } = setup({ rewind: { count: 2 }, keep: 3 });
  const at = (offset: number) => ({ topic: "board:x", offset, mark: offset });
  const said = (offset: number) => ({ ...at(offset), event: "said", data: offset });
  line.instead = () => ({ ...at(2), epoch: "e", recovered: false, snapshot: null, publications: [said(1), said(2)] });
  const stop = await watch();
  expect(line.commands[0]?.payload).toEqual({ topic: "board:x", rewind: { count: 2 } });
  expect(topic.snapshot).toMatchObject({ isWhole: true, position: { offset: 2 } });
  line.isSubscribed = true;
  line.instead = () => ({ ...at(5), epoch: "e", recovered: true, publications: [said(3), said(4), said(5)] });
  line.break();
  await vi.advanceTimersByTimeAsync(2_000);
  await flow();
  expect(topic.snapshot.publications.map(({ data }) => data)).toEqual([3, 4, 5]);
  expect(changes.map(({ data }) => data)).toEqual([1, 2, 3, 4, 5]);
  stop();
});

test("filter, params and a token of its own go with each question; its end asks again with a new one", async () => {
  let made = 0;
  const { line, topic, flow, watch } = setup({
    filter: { team: "red" },
    params: { size: 5 },
    token: () => `t${++made}`,
  });
  await watch();
  expect(line.commands[0]?.payload).toEqual({
    topic: "board:x",
    filter: { team: "red" },
    params: { size: 5 },
    token: "t1",
  });
  line.unsubscribe(3501, "token_expired");
  await flow();
  await vi.advanceTimersByTimeAsync(2_000);
  await flow();
  expect(line.commands.at(-1)?.payload).toMatchObject({ token: "t2", since: { offset: 0 } });
  expect(topic.snapshot.status).toBe("live");
});

test("the name that the answer has is the one that publications have", async () => {
  const { line, topic, flow, watch } = setup();
  const named = "board:x/3f";
  line.instead = (name) =>
    name === "subscribe"
      ? { topic: named, epoch: "e", offset: 0, mark: 0, recovered: false, snapshot: { items: [], more: false } }
      : { topic: named };
  const stop = await watch();
  expect(topic.snapshot.status).toBe("live");
  stop();
  topic.end();
  await flow();
  expect(line.commands.at(-1)).toMatchObject({ name: "unsubscribe", payload: { topic: named } });
});

test("publishing is repeated over a break with the same id, and happens once", async () => {
  const { board, line, topic, flow, watch } = setup();
  await watch();
  const done = topic.set("a", 1);
  await settle();
  // The server has done it, and the answer is lost.
  line.serve();
  line.break();
  await vi.advanceTimersByTimeAsync(2_000);
  await flow();
  expect(await done).toMatchObject({ offset: 1, dropped: "duplicate" });
  const sent = line.commands.filter(({ name }) => name === "publish").map(({ payload }) => payload);
  expect(sent).toHaveLength(2);
  expect(sent[0]).toEqual(sent[1]);
  expect(board.log).toHaveLength(1);
  const removed = topic.remove("a");
  await flow();
  await removed;
  expect(board.items.size).toBe(0);
});

test("a busy server is asked again, a refusal is told with what is there, and patience ends", async () => {
  const { line, topic, flow } = setup();
  const errors = [{ code: "rate_limited", message: "slower", retry_after: 1 }, { code: "unavailable" }];
  line.instead = () => {
    const error = errors.shift();
    return error && { error };
  };
  const done = topic.set("a", 1);
  for (let n = 0; n < 4; n++) {
    await flow();
    await vi.advanceTimersByTimeAsync(5_000);
  }
  expect(await done).toMatchObject({ offset: 1 });

  line.instead = () => ({ error: { code: "conflict", message: "taken", current: { data: 1, offset: 1, version: 0 } } });
  const refused = topic.set("a", 2, { if: "absent" }).catch((error: unknown) => error);
  await flow();
  expect(await refused).toMatchObject({ code: "conflict", facts: { current: { offset: 1 } } });

  line.instead = () => ({ error: { code: "unavailable", message: "away" } });
  const late = topic.publish("said", 3).catch((error: unknown) => error);
  for (let n = 0; n < 20; n++) {
    await flow();
    await vi.advanceTimersByTimeAsync(10_000);
  }
  expect(await late).toMatchObject({ code: "unavailable" });
});

test("publishing waits for the connection, and not for one that was closed", async () => {
  const { board, connection, topic, flow } = setup();
  const done = topic.set("a", 1);
  await settle();
  await flow();
  await done;
  expect(board.log).toHaveLength(1);
  connection.close();
  const waiting = topic.set("b", 1).catch((error: unknown) => error);
  connection.close();
  expect(await waiting).toMatchObject({ code: "closed" });
});

test("a page may be ahead of the publications that it holds already: they are not applied again", () => {
  const items = new Items({ items: [{ key: "a", data: { n: 3, m: 1 }, offset: 9 }], more: true });
  const publication = { topic: "t", mark: 0, key: "a" };
  expect(items.apply({ ...publication, offset: 8, event: "set", data: undefined, patch: { n: 2 } })).toBeNull();
  expect(items.apply({ ...publication, offset: 7, event: "remove", data: null })).toBeNull();
  expect(items.values.get("a")).toEqual({ data: { n: 3, m: 1 }, offset: 9 });
});

test("merge patches as RFC 7396 has them", () => {
  // Appendix A.
  for (const [before, patch, after] of [
    [{ a: "b" }, { a: "c" }, { a: "c" }],
    [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
    [{ a: "b" }, { a: null }, {}],
    [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
    [{ a: ["b"] }, { a: "c" }, { a: "c" }],
    [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
    [
      ["a", "b"],
      ["c", "d"],
      ["c", "d"],
    ],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: "b", c: null }, { a: "b" }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ]) {
    expect(patched(before, patch)).toEqual(after);
  }
});

const SEEDS = 120;

test(`any interleaving of pages, publications, breaks and lost logs ends in the server's state, over ${SEEDS} seeds`, async () => {
  const seen = { pages: 0, recoveries: 0, snapshots: 0, skips: 0 };
  for (let seed = 0; seed < SEEDS; seed++) {
    const random = seeded(seed);
    const pick = (n: number) => Math.floor(random() * n);
    const { board, line, topic, changes, flow, watch, values } = setup();
    board.pageSize = 1 + pick(4);
    const key = () => String.fromCharCode(97 + pick(12));
    const change = () => {
      const which = key();
      const old = board.items.get(which)?.data;
      if (old && random() < 0.25) return board.remove(which);
      return board.set(
        which,
        random() < 0.2 ? pick(100) : { n: pick(1_000), [`m${pick(3)}`]: 1, same: "s".repeat(30) },
      );
    };
    for (let n = pick(25); n > 0; n--) change();
    const watching = watch();
    for (let step = 0; step < 150; step++) {
      await settle();
      const fate = random();
      if (fate < 0.35) line.announce(change(), random() < 0.1);
      else if (fate < 0.6) line.deliver();
      else if (fate < 0.75) line.serve();
      else if (fate < 0.85) line.release();
      else if (fate < 0.92) {
        line.catchUp();
        seen.skips++;
      } else if (fate < 0.95) await vi.advanceTimersByTimeAsync(2_000);
      else if (fate < 0.975) {
        line.break();
        if (random() < 0.2) board.trimmed = board.log.length;
      } else if (fate < 0.985 && line.isSubscribed) {
        board.loseLog();
        line.unsubscribe(3010, "insufficient_state");
      }
    }
    await watching;
    for (let turn = 0; turn < 8; turn++) {
      line.catchUp();
      await flow();
      await vi.advanceTimersByTimeAsync(25_000);
    }
    await flow();
    expect(topic.snapshot, `seed ${seed}`).toMatchObject({ status: "live", isWhole: true, position: board.position });
    const server = Object.fromEntries([...board.items].map(([name, { data }]) => [name, data]));
    expect(values(), `seed ${seed}`).toEqual(server);
    // Of one log no change is told of twice, and in order; another one begins at a lower offset.
    const falls = changes.filter(({ offset }, n) => n > 0 && offset <= (changes[n - 1]?.offset ?? 0)).length;
    expect(falls, `seed ${seed}`).toBeLessThan(board.epoch.length);
    seen.pages += line.commands.filter(({ name }) => name === "page").length;
    const asked = line.commands.filter(({ name }) => name === "subscribe");
    seen.recoveries += asked.filter(({ payload }) => payload["since"]).length;
    seen.snapshots += asked.filter(({ payload }) => !payload["since"]).length;
  }
  // Every way was gone, often enough to mean something.
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(SEEDS / 2);
});
