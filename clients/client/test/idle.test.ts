// @vitest-environment happy-dom
/** Nobody is at the page: told once, taken back with the first input, and never instead of what the person has said themself. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { watchIdle } from "../src/idle.ts";
import { createClient } from "../src/index.ts";
import { contacts } from "../src/presence.ts";
import { Board, Line } from "./support/board.ts";
import { settle, token } from "./support/server.ts";

let visibility: DocumentVisibilityState = "visible";

beforeEach(() => {
  vi.useFakeTimers();
  visibility = "visible";
  vi.spyOn(document, "visibilityState", "get").mockImplementation(() => visibility);
});
afterEach(() => void vi.useRealTimers());

async function setup() {
  const board = new Board();
  const line = new Line(board);
  const said: unknown[] = [];
  let refusal: unknown = null;
  line.instead = (name, payload) => {
    if (name !== "publish") return undefined;
    said.push(JSON.parse(JSON.stringify((payload as { data: unknown }).data)));
    return refusal ?? { topic: board.topic, ...board.position, class: "recoverable" };
  };
  const client = createClient({ getToken: () => token("ann"), openSocket: line.open });
  const mine = contacts(client, "ann");
  const flow = async () => {
    for (let turn = 0; turn < 200; turn++) {
      await settle();
      if (!line.serve() && !line.release() && !line.deliver()) return;
    }
  };
  /** So many seconds go by; what was said meanwhile. */
  const after = async (seconds: number) => {
    await flow();
    await vi.advanceTimersByTimeAsync(seconds * 1_000);
    await flow();
    return said.splice(0);
  };
  const turn = (state: DocumentVisibilityState) => {
    visibility = state;
    document.dispatchEvent(new Event("visibilitychange"));
  };
  const refuse = (code: string | null) => {
    refusal = code && { error: { code, message: code } };
  };
  const stop = watchIdle(mine, { after: 60 });
  await flow();
  return { line, mine, after, turn, refuse, stop };
}

test("without input it is idle, told once, and online again with the first of many", async () => {
  const { after, stop } = await setup();
  for (let n = 0; n < 4; n++) {
    expect(await after(50)).toEqual([]);
    document.dispatchEvent(new Event("pointermove"));
  }
  expect(await after(59)).toEqual([]);
  expect(await after(2)).toEqual([{ status: "idle" }]);
  expect(await after(600)).toEqual([]);
  for (let n = 0; n < 10; n++) document.dispatchEvent(new Event("keydown"));
  expect(await after(0)).toEqual([{ status: "online" }]);
  expect(await after(61)).toEqual([{ status: "idle" }]);
  stop();
  expect(await after(600)).toEqual([{ status: "online" }]);
});

test("a page in the background is idle at once, and one that comes to the front is not", async () => {
  const { after, turn, stop } = await setup();
  turn("hidden");
  expect(await after(0)).toEqual([{ status: "idle" }]);
  document.dispatchEvent(new Event("scroll"));
  expect(await after(0)).toEqual([]);
  expect(await after(3_600)).toEqual([]);
  turn("visible");
  expect(await after(59)).toEqual([{ status: "online" }]);
  stop();
  turn("hidden");
  expect(await after(0)).toEqual([]);
});

test("who is away or not to be disturbed stays that, and is idle with what they say next", async () => {
  const { mine, after, turn, stop } = await setup();
  void mine.update({ status: "dnd" });
  expect(await after(0)).toEqual([{ status: "dnd" }]);
  turn("hidden");
  expect(await after(0)).toEqual([{ status: "dnd" }]);
  void mine.update({ status: "online", text: "back" });
  expect(await after(0)).toEqual([{ status: "idle", text: "back" }]);
  turn("visible");
  expect(await after(0)).toEqual([{ status: "online" }]);
  stop();
});

test("a connection that comes back says that it is idle, and a refusal is not the last word", async () => {
  const { line, after, turn, refuse, stop } = await setup();
  turn("hidden");
  expect(await after(0)).toEqual([{ status: "idle" }]);
  line.break();
  expect(await after(10)).toEqual([{ status: "idle" }]);
  refuse("forbidden");
  turn("visible");
  expect(await after(1)).toEqual([{ status: "online" }]);
  refuse(null);
  turn("hidden");
  turn("visible");
  expect(await after(40)).toEqual([{ status: "online" }]);
  stop();
});
