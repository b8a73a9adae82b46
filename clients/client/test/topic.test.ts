/** A subscription lasts: over breaks, gaps, the server's wishes, and impatient components. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Connection } from "../src/connection.ts";
import { inboxKind } from "../src/inbox/state.ts";
import { Tokens } from "../src/tokens.ts";
import { Topic } from "../src/topic.ts";
import { FakeServer, settle, token } from "./support/server.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

async function setup() {
  const server = new FakeServer();
  let made = 0;
  const tokens = new Tokens(() => token("ann", undefined, made++));
  const connection = new Connection({ tokens, open: server.open, random: () => 0.5 });
  const topic = new Topic("inbox:ann", inboxKind, connection, () => 0.5);
  const arrived: number[] = [];
  topic.arrived.listen(({ publications }) => arrived.push(...publications.map(({ offset }) => offset)));
  const asked = () => server.requests.filter(({ name }) => name === "subscribe").map(({ payload }) => payload["since"]);
  return { server, connection, topic, arrived, asked, view: () => topic.getSnapshot() };
}

async function live(server: FakeServer) {
  const found = await setup();
  Object.assign(found.server, { inbox: server.inbox });
  const stop = found.topic.subscribe(() => undefined);
  await settle();
  return { ...found, stop };
}

test("the first watcher subscribes, the state comes, then each change", async () => {
  const { server, topic, view, arrived, asked } = await setup();
  server.inbox.add();
  topic.subscribe(() => undefined);
  expect(view()).toMatchObject({ status: "subscribing", state: undefined });
  await settle();
  expect(view()).toMatchObject({ status: "live", recovered: false, position: { offset: 1 }, error: null });
  server.send(server.inbox.add());
  expect(view().state?.items.map(({ id }) => id)).toEqual(["m2", "m1"]);
  expect(arrived).toEqual([2]);
  expect(asked()).toEqual([undefined]);
});

test("after a break it asks from its position and gets just what was missed", async () => {
  const { server, view, arrived, asked } = await live(new FakeServer());
  server.send(server.inbox.add());
  server.break();
  expect(view().status).toBe("subscribing");
  server.inbox.add();
  server.inbox.add();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(view()).toMatchObject({ status: "live", recovered: true, position: { offset: 3 } });
  expect(asked().at(-1)).toMatchObject({ epoch: "e1", offset: 1 });
  expect(arrived).toEqual([1, 2, 3]);
});

test("a publication right behind the answer is taken, also where the log has begun anew", async () => {
  const { server, view } = await live(new FakeServer());
  server.send(server.inbox.add());
  server.break();
  server.inbox.loseLog();
  server.isSlow = true;
  await vi.advanceTimersByTimeAsync(1_000);
  // In one packet: whoever waits for the answer hears of it after both.
  server.release();
  server.send(server.inbox.add());
  await settle();
  expect(view()).toMatchObject({ status: "live", recovered: false, position: { epoch: "e1+", offset: 1 } });
  expect(view().state?.items.map(({ id }) => id)).toEqual(["m2", "m1"]);
});

test("a lost publication is noticed with the next one", async () => {
  const { server, view, asked } = await live(new FakeServer());
  server.inbox.add();
  server.send(server.inbox.add());
  expect(view().status).toBe("subscribing");
  await settle();
  expect(view()).toMatchObject({ status: "live", recovered: true, position: { offset: 2 } });
  expect(asked()).toHaveLength(2);
});

test("where the log was lost the snapshot replaces the state, and nothing counts as arrived", async () => {
  const { server, view, arrived } = await live(new FakeServer());
  server.send(server.inbox.add());
  server.break();
  server.inbox.loseLog();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(view()).toMatchObject({ status: "live", recovered: false, position: { epoch: "e1+", offset: 0 } });
  expect(view().state?.items).toHaveLength(1);
  expect(arrived).toEqual([1]);
});

test("an answer that comes after a break is not taken for the one to the next question", async () => {
  const { server, topic, view } = await setup();
  server.isSlow = true;
  topic.subscribe(() => undefined);
  await settle();
  server.break();
  await vi.advanceTimersByTimeAsync(1_000);
  server.inbox.add();
  server.release();
  await settle();
  expect(view()).toMatchObject({ status: "live", position: { offset: 1 } });
});

test("of two questions only the answer to the later one counts", async () => {
  const { server, view } = await live(new FakeServer());
  server.isSlow = true;
  server.inbox.add();
  server.send(server.inbox.add());
  server.unsubscribe(3010, "insufficient_state");
  server.release();
  await settle();
  expect(view()).toMatchObject({ status: "subscribing", position: { offset: 0 } });
  server.isSlow = false;
  await vi.advanceTimersByTimeAsync(1_000);
  expect(view()).toMatchObject({ status: "live", position: { offset: 2 } });
});

test("3010 means ask again, 3500 means stop; after that a person may ask again", async () => {
  const { server, topic, view, asked } = await live(new FakeServer());
  server.unsubscribe(3010, "insufficient_state");
  expect(view().status).toBe("subscribing");
  await vi.advanceTimersByTimeAsync(1_000);
  expect(view().status).toBe("live");
  server.unsubscribe(3500, "revoked");
  await vi.advanceTimersByTimeAsync(60_000);
  expect(view()).toMatchObject({ status: "stopped", error: { code: "revoked" } });
  const before = asked().length;
  topic.restart();
  await settle();
  expect(view().status).toBe("live");
  expect(asked()).toHaveLength(before + 1);
});

test("3501 brings a new token, and with it a new connection that recovers", async () => {
  const { server, view } = await live(new FakeServer());
  server.unsubscribe(3501, "token_expired");
  await settle();
  expect(new Set(server.tokens).size).toBe(2);
  expect(view()).toMatchObject({ status: "live", recovered: true });
});

test("a refusal stops it; a busy server is asked again", async () => {
  const { server, topic, view } = await setup();
  server.instead = () => ({ error: { code: "forbidden", message: "not yours" } });
  topic.subscribe(() => undefined);
  await settle();
  expect(view()).toMatchObject({ status: "stopped", error: { code: "forbidden", detail: "not yours" } });

  server.instead = () => ({ error: { code: "unavailable", message: "database away", retry_after: 2 } });
  topic.restart();
  await settle();
  expect(view()).toMatchObject({ status: "subscribing", error: { code: "unavailable" } });
  server.instead = null;
  await vi.advanceTimersByTimeAsync(2_400);
  expect(view().status).toBe("subscribing");
  await vi.advanceTimersByTimeAsync(200);
  expect(view()).toMatchObject({ status: "live", error: null });
});

test("an answer that is none is not believed", async () => {
  const { server, topic, view } = await setup();
  server.instead = () => ({ topic: "inbox:ann", epoch: 7 });
  topic.subscribe(() => undefined);
  await settle();
  expect(view()).toMatchObject({ status: "stopped", error: { code: "malformed" } });
});

test("components that come and go share one subscription; it ends a moment after the last one", async () => {
  const { server, topic, stop, view, asked } = await live(new FakeServer());
  // What StrictMode does: mount, unmount, mount.
  stop();
  stop();
  const again = topic.subscribe(() => undefined);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(server.requests.filter(({ name }) => name === "unsubscribe")).toEqual([]);
  again();
  await vi.advanceTimersByTimeAsync(2_000);
  expect(view().status).toBe("idle");
  expect(server.isSubscribed).toBe(false);
  server.inbox.add();
  topic.subscribe(() => undefined);
  await settle();
  // It goes on from where it was.
  expect(view()).toMatchObject({ status: "live", recovered: true, position: { offset: 1 } });
  expect(asked()).toHaveLength(2);
});

test("whoever leaves before the answer has come calls the question off", async () => {
  const { server, topic, view } = await setup();
  server.isSlow = true;
  topic.subscribe(() => undefined)();
  await vi.advanceTimersByTimeAsync(2_000);
  server.release();
  await settle();
  expect(view().status).toBe("idle");
  expect(server.requests.map(({ name }) => name)).toEqual(["subscribe", "unsubscribe"]);
});

test("a hundred mounts and unmounts leave one subscription and no timers", async () => {
  const { server, topic, connection } = await setup();
  for (let n = 0; n < 100; n++) topic.subscribe(() => undefined)();
  await vi.advanceTimersByTimeAsync(3_000);
  expect(server.isSubscribed).toBe(false);
  connection.close();
  expect(vi.getTimerCount()).toBe(0);
});
