/** The small parts: stores, codes, backoff, tokens' claims. */

import { expect, test, vi } from "vitest";
import { backoff } from "../src/backoff.ts";
import { adviceForCode, adviceForError } from "../src/codes.ts";
import { asError, ClarionError } from "../src/errors.ts";
import { createStore, Signal } from "../src/store.ts";
import { readClaims, renewalDelay, Tokens } from "../src/tokens.ts";
import { token } from "./support/server.ts";

test("a store tells each listener of each change, and of nothing else", () => {
  const store = createStore(1);
  const listener = vi.fn();
  const stops = [store.subscribe(listener), store.subscribe(listener)];
  store.set(2);
  expect(listener).toHaveBeenCalledTimes(2);
  stops[0]?.();
  store.set(2);
  expect(listener).toHaveBeenCalledTimes(2);
  store.set(3);
  expect(listener).toHaveBeenCalledTimes(3);
  expect(store.getSnapshot()).toBe(3);
});

test("a listener may leave while it is being told", () => {
  const signal = new Signal<number>();
  const heard: number[] = [];
  const stop = signal.listen((value) => {
    heard.push(value);
    stop();
  });
  signal.listen((value) => heard.push(-value));
  signal.emit(1);
  signal.emit(2);
  expect(heard).toEqual([1, -1, -2]);
});

test("the range of a code says what to do, also with codes that are not known", () => {
  expect([3000, 3001, 3010, 3499, 1006, 1011, 4000].map(adviceForCode)).toEqual(Array(7).fill("recover"));
  expect([3500, 3505, 3777, 3999].map(adviceForCode)).toEqual(Array(4).fill("stop"));
  expect([3501, 3502].map(adviceForCode)).toEqual(["renew", "renew"]);
});

test("errors that would come again stop, refused tokens are renewed, the rest is tried again", () => {
  expect(["forbidden", "not_found", "invalid", "too_many"].map(adviceForError)).toEqual(Array(4).fill("stop"));
  expect(["token_expired", "unauthenticated"].map(adviceForError)).toEqual(["renew", "renew"]);
  expect(["unavailable", "rate_limited", "conflict", "timeout", "something_new"].map(adviceForError)).toEqual(
    Array(5).fill("recover"),
  );
});

test("the wait doubles up to a cap, is spread over its whole length, and keeps what the server asked for", () => {
  expect([0, 1, 2, 9, 1_000].map((attempt) => backoff(attempt, 1))).toEqual([1_000, 2_000, 4_000, 20_000, 20_000]);
  expect(backoff(5, 0)).toBe(0);
  expect(backoff(0, 0.5, 3)).toBe(3_500);
});

test("problem documents, error acks and pages of proxies all become one kind of error", () => {
  const problem = { code: "invalid", detail: "no", errors: [{ pointer: "/title", detail: "too long" }, "nonsense"] };
  const error = ClarionError.fromAnswer(422, problem);
  expect(error).toMatchObject({ code: "invalid", status: 422, detail: "no", retryAfter: null });
  expect(error.errors).toEqual([{ pointer: "/title", detail: "too long" }]);
  expect(ClarionError.fromAnswer(502, "<html>")).toMatchObject({ code: "http_502", detail: "The server answered 502" });
  expect(ClarionError.fromSocket({ code: "overloaded", message: "busy", retry_after: 2 }, "")).toMatchObject({
    code: "overloaded",
    status: 0,
    detail: "busy",
    retryAfter: 2,
  });
  expect(asError("boom")).toMatchObject({ code: "unreachable", detail: "boom" });
});

test("claims are read from a JWT in UTF-8; anything else has none", () => {
  expect(readClaims(token("zoë", 5_000))).toEqual({ sub: "zoë", expiresAt: 5_000 });
  for (const text of ["", "clk_abc", "a.b.c", "a.bnVsbA.c"]) {
    expect(readClaims(text)).toEqual({ sub: null, expiresAt: null });
  }
});

test("a token is renewed a minute before its end, sooner if it is short, by no timer if it seems over", () => {
  expect(renewalDelay(900_000, 0)).toBe(840_000);
  expect(renewalDelay(100_000, 0)).toBe(80_000);
  expect(renewalDelay(null, 0)).toBeNull();
  expect(renewalDelay(1_000, 2_000)).toBeNull();
  expect(renewalDelay(1e15, 0)).toBe(2 ** 31 - 1);
});

test("tokens are asked for once at a time, and a failure is not remembered", async () => {
  const getToken = vi.fn(({ fresh }: { fresh: boolean }) => Promise.resolve(fresh ? "new" : "old"));
  const tokens = new Tokens(getToken);
  expect(await Promise.all([tokens.current(), tokens.current()])).toEqual(["old", "old"]);
  expect(await Promise.all([tokens.renew("old"), tokens.renew("old"), tokens.renew()])).toEqual(["new", "new", "new"]);
  expect(getToken).toHaveBeenCalledTimes(2);
  // Somebody else has renewed the refused one already.
  expect(await tokens.renew("old")).toBe("new");
  expect(getToken).toHaveBeenCalledTimes(2);
  getToken.mockRejectedValueOnce(new Error("offline"));
  await expect(tokens.renew("new")).rejects.toThrow("offline");
  expect(await tokens.current()).toBe("old");
});
