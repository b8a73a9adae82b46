/** Presence: who is here as the server has it, what was said is said again by a connection that comes back, and locks are kept. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createClient } from "../src/index.ts";
import { contacts, type People, room } from "../src/presence.ts";
import { type Signals, signals } from "../src/signals.ts";
import { Board, Line } from "./support/board.ts";
import { settle, token } from "./support/server.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

type Asked = { name: string; payload: Record<string, unknown> };

function setup() {
  const board = new Board();
  const line = new Line(board);
  const asked: Asked[] = [];
  line.instead = (name, payload) => {
    // As it travels.
    asked.push({ name, payload: JSON.parse(JSON.stringify(payload)) as Record<string, unknown> });
    if (name === "publish") return answer(payload);
    return undefined;
  };
  let answer: (payload: Record<string, unknown>) => unknown = () => ({
    topic: board.topic,
    ...board.position,
    class: "recoverable",
    ttl_s: 6,
  });
  const client = createClient({ getToken: () => token("ann"), openSocket: line.open });
  const flow = async () => {
    for (let turn = 0; turn < 200; turn++) {
      await settle();
      if (!line.serve() && !line.release() && !line.deliver()) return;
    }
  };
  const published = () =>
    asked
      .splice(0)
      .flatMap(({ name, payload: { event, data, key } }) =>
        name === "publish" ? [[event, ...(key === undefined ? [] : [key]), data]] : [],
      );
  const subscribed = () => asked.filter(({ name }) => name === "subscribe").map(({ payload }) => payload["params"]);
  const refuse = (code: string) => {
    answer = () => ({ error: { code, message: code } });
  };
  return { board, line, client, asked, flow, published, subscribed, refuse };
}

const person = (status: string) => ({ status, since: "2026", last_active: "2026", devices: {} });

test("a room has its people; one that is too large has who comes and goes, or their number", async () => {
  const { board, line, client, flow } = setup();
  board.set("ann", person("online"));
  const lobby = room(client, "lobby", { enter: { device: "web" } });
  expect(room(client, "lobby", { enter: { device: "web" } })).toBe(lobby);
  expect(lobby.getSnapshot()).toMatchObject({ status: "idle", users: null });
  lobby.subscribe(() => undefined);
  await flow();
  line.announce(board.set("ben", person("idle")));
  await flow();
  const { users, people, isWhole } = lobby.getSnapshot();
  expect([users, [...people.keys()], people.get("ben")?.status, isWhole]).toEqual([2, ["ann", "ben"], "idle", true]);
  expect(lobby.getSnapshot()).toBe(lobby.getSnapshot());
  for (const user of ["ann", "ben"]) line.announce(board.remove(user));
  line.announce(board.set("changed", { users: 501, left: ["ann"], more: 3 }));
  await flow();
  expect(lobby.getSnapshot()).toMatchObject({ users: 501, changed: { left: ["ann"], more: 3 } });
  expect(lobby.getSnapshot().people.size).toBe(0);
  line.announce(board.remove("changed"));
  line.announce(board.set("users", 9_000));
  await flow();
  expect(lobby.getSnapshot()).toMatchObject({ users: 9_000, changed: null });
});

test("who comes back enters with all that was said since, and a text has as long as it has left", async () => {
  const { line, client, flow, published, subscribed } = setup();
  const lobby: People = room(client, "lobby", { enter: { device: "web" }, mode: "full" });
  lobby.subscribe(() => undefined);
  await flow();
  expect(subscribed()).toEqual([{ enter: { device: "web" }, mode: "full" }]);
  const update = lobby.update({ status: "away", text: "lunch", text_for_s: 60 });
  await flow();
  await update;
  expect(published()).toEqual([["update", { status: "away", text: "lunch", text_for_s: 60 }]]);
  vi.advanceTimersByTime(20_000);
  line.break();
  await vi.advanceTimersByTimeAsync(10_000);
  await flow();
  const [again] = subscribed() as [{ enter: { text_for_s: number } }];
  expect(again).toMatchObject({ enter: { device: "web", status: "away", text: "lunch" }, mode: "full" });
  expect(again.enter.text_for_s).toBeGreaterThan(20);
  expect(again.enter.text_for_s).toBeLessThanOrEqual(40);
  expect(published()).toEqual([]);
});

test("what a user said beyond rooms is said again by a new connection, and nothing where nothing was said", async () => {
  const { line, client, flow, published } = setup();
  const mine = contacts(client, "ann");
  const stop = mine.subscribe(() => undefined);
  await flow();
  expect(published()).toEqual([]);
  const update = mine.update({ status: "dnd" });
  await flow();
  await update;
  expect(published()).toEqual([["update", { status: "dnd" }]]);
  line.break();
  await vi.advanceTimersByTimeAsync(10_000);
  await flow();
  expect(published()).toEqual([["update", { status: "dnd" }]]);
  stop();
  stop();
});

test("signals: who types, cursors and locks; typing is sent as often as is needed", async () => {
  const { board, line, client, flow, published } = setup();
  const doc: Signals = signals(client, "doc");
  await doc.typing();
  await doc.cursor({ x: 0 });
  expect(published()).toEqual([]);
  doc.subscribe(() => undefined);
  await flow();
  for (const [key, data] of [
    ["typing:ben", { user: "ben" }],
    ["cursor:c1", { user: "ben", data: { x: 1 } }],
    ["lock:a:1", { user: "cleo", data: "why" }],
  ] as const)
    line.announce(board.set(key, data));
  await flow();
  const { typing, cursors, locks } = doc.getSnapshot();
  expect([typing, [...cursors], [...locks]]).toEqual([
    ["ben"],
    [["c1", { user: "ben", data: { x: 1 } }]],
    [["a:1", { user: "cleo", data: "why" }]],
  ]);
  for (let stroke = 0; stroke < 50; stroke++) {
    void doc.typing();
    await flow();
    vi.advanceTimersByTime(100);
  }
  expect(published()).toEqual(Array(3).fill(["typing", true]));
  void doc.stopTyping();
  void doc.stopTyping();
  void doc.cursor({ x: 1 });
  await flow();
  expect(published()).toEqual([
    ["typing", false],
    ["cursor", { x: 1 }],
  ]);
});

test("a lock is kept until it is released, and known to be lost when another one has it", async () => {
  const { client, flow, published, refuse } = setup();
  const doc = signals(client, "doc");
  doc.subscribe(() => undefined);
  await flow();
  const taking = doc.lock("a", { n: 1 });
  await flow();
  const lock = await taking;
  for (let turn = 0; turn < 3; turn++) {
    await vi.advanceTimersByTimeAsync(2_000);
    await flow();
  }
  expect(published()).toEqual(Array(4).fill(["lock", "a", { n: 1 }]));
  expect(lock.getSnapshot()).toEqual({ isHeld: true, error: null });
  void lock.release();
  await flow();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(published()).toEqual([["unlock", "a", null]]);
  const second = doc.lock("b");
  await flow();
  const lost = await second;
  let told = 0;
  lost.subscribe(() => told++);
  refuse("conflict");
  await vi.advanceTimersByTimeAsync(2_000);
  await flow();
  expect([lost.getSnapshot().isHeld, lost.getSnapshot().error?.code, told]).toEqual([false, "conflict", 1]);
  await lost.release();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(published()).toEqual([
    ["lock", "b", null],
    ["lock", "b", null],
  ]);
  const refused = doc.lock("c").catch((error: { code: string }) => error.code);
  await flow();
  expect(await refused).toBe("conflict");
});

test("a room that is asked for again with the same words is the same, though the clock went on meanwhile", () => {
  const { client } = setup();
  const enter = { text: "lunch", text_for_s: 60 };
  const lobby = room(client, "lobby", { enter });
  const now = Date.now();
  vi.spyOn(Date, "now")
    .mockReturnValueOnce(now)
    .mockReturnValue(now + 3);
  expect(room(client, "lobby", { enter })).toBe(lobby);
  vi.restoreAllMocks();
  expect(room(client, "lobby", { enter: { ...enter, text_for_s: 61 } })).not.toBe(lobby);
});
