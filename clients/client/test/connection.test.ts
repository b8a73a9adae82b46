/** The connection stays, carries a good token, and knows when to give up. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Connection } from "../src/connection.ts";
import { ClarionError } from "../src/errors.ts";
import { Tokens } from "../src/tokens.ts";
import { FakeServer, settle, token } from "./support/server.ts";

beforeEach(() => void vi.useFakeTimers({ now: 1_000_000 }));
afterEach(() => void vi.useRealTimers());

interface Given {
  getToken?: (wish: { fresh: boolean }) => Promise<string> | string;
}

function setup({ getToken }: Given = {}) {
  const server = new FakeServer();
  let made = 0;
  const tokens = new Tokens(getToken ?? (() => token("ann", undefined, made++)));
  const connection = new Connection({ tokens, open: server.open, random: () => 0.5 });
  const seen: string[] = [];
  connection.subscribe(() => {
    const { status } = connection.getSnapshot();
    if (seen.at(-1) !== status) seen.push(status);
  });
  const breaks: string[] = [];
  connection.live.listen(() => breaks.push("live"));
  connection.lost.listen(() => breaks.push("lost"));
  return { server, connection, seen, breaks, status: () => connection.getSnapshot().status };
}

test("it opens once, however often it is asked to", async () => {
  const { server, connection, seen } = setup();
  connection.connect();
  connection.connect();
  await settle();
  connection.connect();
  expect(seen).toEqual(["connecting", "live"]);
  expect(server.tokens).toHaveLength(1);
  expect(connection.user).toBe("ann");
  expect(connection.getSnapshot()).toMatchObject({ attempt: 0, lastError: null, since: 1_000_000 });
});

test("after a break it comes back, waiting longer each time, until it is closed", async () => {
  const { server, connection, seen, breaks } = setup();
  connection.connect();
  await settle();
  server.refuse = () => "unreachable";
  server.break();
  expect(connection.isUp).toBe(false);
  const waits: number[] = [];
  for (let tries = server.tokens.length; server.tokens.length < tries + 5; ) {
    const before = server.tokens.length;
    let waited = 0;
    while (server.tokens.length === before) {
      await vi.advanceTimersByTimeAsync(100);
      waited += 100;
    }
    waits.push(waited);
  }
  expect(waits).toEqual([500, 1_000, 2_000, 4_000, 8_000]);
  server.refuse = () => null;
  await vi.advanceTimersByTimeAsync(10_000);
  expect(seen).toEqual(["connecting", "live", "reconnecting", "live"]);
  expect(breaks).toEqual(["live", "lost", "live"]);
  connection.close();
  server.break();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(seen.at(-1)).toBe("closed");
  expect(server.isUp).toBe(false);
});

test("it opens again after it was closed", async () => {
  const { connection, status } = setup();
  connection.connect();
  await settle();
  connection.close();
  connection.connect();
  await settle();
  expect(status()).toBe("live");
});

test("closed while it opens, it stays closed", async () => {
  const { server, connection, status } = setup();
  connection.connect();
  connection.close();
  await vi.advanceTimersByTimeAsync(30_000);
  expect(status()).toBe("closed");
  expect(server.tokens).toEqual([]);
});

test("a refusal that would come again is the end; a person may ask again", async () => {
  const { server, connection, status } = setup();
  server.refuse = () => ({ code: "forbidden", message: "not here" });
  connection.connect();
  await vi.advanceTimersByTimeAsync(120_000);
  expect(server.tokens).toHaveLength(1);
  expect(connection.getSnapshot()).toMatchObject({ status: "failed", lastError: { code: "forbidden" } });
  server.refuse = () => null;
  connection.connect();
  await settle();
  expect(status()).toBe("live");
});

test("a busy server is tried again, not before it said", async () => {
  const { server, connection, seen } = setup();
  server.refuse = () => ({ code: "overloaded", message: "busy", retry_after: 7 });
  connection.connect();
  await vi.advanceTimersByTimeAsync(7_400);
  expect(server.tokens).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(200);
  expect(server.tokens).toHaveLength(2);
  expect(seen).toEqual(["connecting", "reconnecting"]);
});

test("an expired token is renewed and tried at once; refused again, it is the end", async () => {
  const good = setup();
  const first = token("ann", undefined, 0);
  good.server.refuse = (given) => (given === first ? { code: "token_expired", message: "over" } : null);
  good.connection.connect();
  await settle();
  expect(good.seen).toEqual(["connecting", "live"]);

  const bad = setup();
  bad.server.refuse = () => ({ code: "unauthenticated", message: "who?" });
  bad.connection.connect();
  await settle();
  expect(bad.status()).toBe("failed");
  expect(bad.server.tokens).toHaveLength(2);
});

test("the token is renewed before it expires, and nobody sees a break", async () => {
  const { server, connection, seen, breaks } = setup({
    getToken: () => token("ann", Date.now() + 900_000, Date.now()),
  });
  connection.connect();
  await settle();
  await vi.advanceTimersByTimeAsync(839_000);
  expect(server.tokens).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(new Set(server.tokens).size).toBe(2);
  expect(seen).toEqual(["connecting", "live"]);
  // Topics do: they ask for what they may have missed.
  expect(breaks).toEqual(["live", "lost", "live"]);
});

test("a renewal that cannot reach the server leaves the connection alone and tries again", async () => {
  let isOffline = false;
  const { server, connection, status } = setup({
    getToken: () => {
      if (isOffline) throw new ClarionError("unreachable", "offline");
      return token("ann", Date.now() + 100_000, Date.now());
    },
  });
  connection.connect();
  await settle();
  isOffline = true;
  await vi.advanceTimersByTimeAsync(82_000);
  expect(status()).toBe("live");
  expect(server.tokens).toHaveLength(1);
  isOffline = false;
  await vi.advanceTimersByTimeAsync(6_000);
  expect(server.tokens).toHaveLength(2);
  expect(status()).toBe("live");
});

test("without a token: no network means later, a refusal means signed out", async () => {
  let error = new ClarionError("unreachable", "offline");
  const { connection, status } = setup({
    getToken: () => {
      throw error;
    },
  });
  connection.connect();
  await settle();
  expect(status()).toBe("reconnecting");
  error = new ClarionError("unauthenticated", "signed out", { status: 401 });
  await vi.advanceTimersByTimeAsync(2_000);
  expect(connection.getSnapshot()).toMatchObject({ status: "failed", lastError: { detail: "signed out" } });
});

test("put out by the server it comes back once with a new token; put out again, it stays away", async () => {
  const { server, connection, status } = setup();
  connection.connect();
  await settle();
  server.break({ byServer: true });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(status()).toBe("live");
  expect(new Set(server.tokens).size).toBe(2);
  server.break({ byServer: true });
  await vi.advanceTimersByTimeAsync(120_000);
  expect(status()).toBe("failed");
  expect(server.tokens).toHaveLength(2);
});

test("close codes say what to do: 3001 come back, 3501 with a new token, 3500 stay away", async () => {
  const { server, connection, status } = setup();
  connection.connect();
  await settle();
  server.break({ code: 3001 });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(new Set(server.tokens).size).toBe(1);
  server.break({ code: 3501 });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(new Set(server.tokens).size).toBe(2);
  server.break({ code: 3500 });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(status()).toBe("failed");
  expect(server.tokens).toHaveLength(3);
});

test("a request gets its answer, the server's error, or the news that the connection is gone", async () => {
  const { server, connection } = setup();
  await expect(connection.request("subscribe", {})).rejects.toMatchObject({ code: "unreachable" });
  connection.connect();
  await settle();
  await expect(connection.request("unsubscribe", { topic: "t:1" })).resolves.toEqual({ topic: "t:1" });
  server.instead = () => ({ error: { code: "rate_limited", message: "slower", retry_after: 1 } });
  await expect(connection.request("join", {})).rejects.toMatchObject({ code: "rate_limited", retryAfter: 1 });
  server.isSlow = true;
  const lost = connection.request("join", {});
  server.break();
  await expect(lost).rejects.toMatchObject({ code: "unreachable" });
});
