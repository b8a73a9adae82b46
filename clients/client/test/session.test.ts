/** Signing in: tokens that last over a reload, that two tabs never share, and that are gone when somebody signs out. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createSession } from "../src/session.ts";
import { settle } from "./support/server.ts";

beforeEach(() => void vi.useFakeTimers({ now: 1_000_000 }));
afterEach(() => void vi.useRealTimers());

/** Refresh tokens that can be used once; a used one ends the whole family, as on the server. */
class Accounts {
  readonly calls: string[] = [];
  status: number | null = null;
  #made = 0;
  #families = new Map<string, { family: number; isUsed: boolean }>();

  readonly fetch = (async (input: unknown, init: RequestInit) => {
    const path = String(input);
    const body = JSON.parse(String(init.body)) as Record<string, string>;
    this.calls.push(path.split("/").at(-1) ?? "");
    if (this.status !== null) return Response.json({ code: "unavailable" }, { status: this.status });
    if (path.endsWith("/logout")) return new Response(null, { status: 204 });
    if (path.endsWith("/login")) {
      if (body["password"] !== "right") return Response.json({ code: "unauthenticated" }, { status: 401 });
      return this.#grant(++this.#made);
    }
    const known = this.#families.get(body["refresh_token"] ?? "");
    if (!known || known.isUsed) {
      for (const other of this.#families.values()) if (other.family === known?.family) other.isUsed = true;
      return Response.json({ code: "unauthenticated" }, { status: 401 });
    }
    known.isUsed = true;
    return this.#grant(known.family);
  }) as typeof fetch;

  #grant(family: number): Response {
    const refresh = `r${++this.#made}`;
    this.#families.set(refresh, { family, isUsed: false });
    return Response.json({
      user: { id: "ann", name: "Ann" },
      access_token: `a${this.#made}`,
      token_type: "Bearer",
      expires_in: 900,
      refresh_token: refresh,
    });
  }
}

/** sessionStorage of one tab, and its copy in a duplicated one. */
class FakeStorage implements Storage {
  [name: string]: unknown;
  readonly #values = new Map<string, string>();
  get length() {
    return this.#values.size;
  }
  key = (n: number) => [...this.#values.keys()][n] ?? null;
  getItem = (key: string) => this.#values.get(key) ?? null;
  setItem = (key: string, value: string) => void this.#values.set(key, value);
  removeItem = (key: string) => void this.#values.delete(key);
  clear = () => this.#values.clear();
  copy(): FakeStorage {
    const copy = new FakeStorage();
    for (const [key, value] of this.#values) copy.setItem(key, value);
    return copy;
  }
}

/** The browser's locks: one holder a name, until its page is gone. */
class FakeLocks {
  readonly #held = new Map<string, unknown>();

  page(): LockManager & { leave(): void } {
    const page = {};
    return {
      request: (name: string, options: { signal: AbortSignal }, take: () => Promise<unknown>) =>
        new Promise((_resolve, reject) => {
          const attempt = () => {
            if (this.#held.has(name)) return false;
            this.#held.set(name, page);
            void take();
            return true;
          };
          if (attempt()) return;
          const timer = setInterval(() => attempt() && clearInterval(timer), 50);
          options.signal.addEventListener("abort", () => {
            clearInterval(timer);
            reject(new DOMException("", "AbortError"));
          });
        }),
      query: () => Promise.resolve({}),
      leave: () => {
        for (const [name, holder] of this.#held) if (holder === page) this.#held.delete(name);
      },
    } as unknown as LockManager & { leave(): void };
  }
}

function browser() {
  const accounts = new Accounts();
  const locks = new FakeLocks();
  // Node's own timeout does not follow the fake clock.
  vi.spyOn(AbortSignal, "timeout").mockImplementation((ms) => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), ms);
    return controller.signal;
  });
  const tab = (storage = new FakeStorage()) => {
    const page = locks.page();
    const session = createSession({ fetch: accounts.fetch, storage, locks: page });
    return { storage, session, leave: () => page.leave(), status: () => session.getSnapshot().status };
  };
  return { accounts, tab };
}

const ANN = { username: "ann", password: "right" };

test("nobody is signed in at first; a wrong password changes nothing", async () => {
  const { session, status } = browser().tab();
  await settle();
  expect(status()).toBe("signed-out");
  await expect(session.getToken({ fresh: false })).rejects.toMatchObject({ status: 401 });
  await expect(session.signIn({ ...ANN, password: "wrong" })).rejects.toMatchObject({ status: 401 });
  expect(status()).toBe("signed-out");
});

test("a reload stays signed in, without a call", async () => {
  const { accounts, tab } = browser();
  const first = tab();
  await first.session.signIn(ANN);
  expect(first.session.getSnapshot()).toMatchObject({ status: "signed-in", user: { id: "ann" } });
  first.leave();
  const second = tab(first.storage);
  expect(second.status()).toBe("restoring");
  await settle();
  expect(second.status()).toBe("signed-in");
  expect(await second.session.getToken({ fresh: false })).toBe("a2");
  expect(accounts.calls).toEqual(["login"]);
});

test("a page that is slow to leave does not sign its successor out", async () => {
  const { tab } = browser();
  const first = tab();
  await first.session.signIn(ANN);
  const second = tab(first.storage);
  await vi.advanceTimersByTimeAsync(500);
  first.leave();
  await vi.advanceTimersByTimeAsync(100);
  expect(second.status()).toBe("signed-in");
});

test("a duplicated tab asks to sign in, and the first one's tokens live on", async () => {
  const { tab } = browser();
  const first = tab();
  await first.session.signIn(ANN);
  const copy = tab(first.storage.copy());
  await vi.advanceTimersByTimeAsync(3_000);
  expect(copy.status()).toBe("signed-out");
  await copy.session.signIn(ANN);
  expect(await first.session.getToken({ fresh: true })).toBe("a5");
  expect(await copy.session.getToken({ fresh: true })).toBe("a6");
  expect([first.status(), copy.status()]).toEqual(["signed-in", "signed-in"]);
});

test("a token that is about to expire is refreshed, once for all who ask", async () => {
  const { accounts, tab } = browser();
  const { session } = tab();
  await session.signIn(ANN);
  await vi.advanceTimersByTimeAsync(885_000);
  const given = await Promise.all([session.getToken({ fresh: false }), session.getToken({ fresh: true })]);
  expect(new Set(given).size).toBe(1);
  expect(accounts.calls).toEqual(["login", "refresh"]);
});

test("a refused refresh ends the session and says so; a server that is away does not", async () => {
  const { accounts, tab } = browser();
  const { session, status, storage } = tab();
  await session.signIn(ANN);
  accounts.status = 503;
  await expect(session.getToken({ fresh: true })).rejects.toMatchObject({ status: 503 });
  expect(status()).toBe("signed-in");
  accounts.status = 401;
  await expect(session.getToken({ fresh: true })).rejects.toMatchObject({ status: 401 });
  expect(session.getSnapshot()).toEqual({ status: "signed-out", user: null, hasEnded: true });
  expect(storage.length).toBe(0);
});

test("signing out forgets everything, also when the server cannot be told", async () => {
  const { accounts, tab } = browser();
  const { session, status, storage } = tab();
  await session.signIn(ANN);
  accounts.status = 503;
  await expect(session.signOut()).rejects.toMatchObject({ status: 503 });
  expect(status()).toBe("signed-out");
  expect(storage.length).toBe(0);
  expect(accounts.calls.at(-1)).toBe("logout");
});

test("a refresh that ends after signing out brings nobody back", async () => {
  const { tab } = browser();
  const { session, status } = tab();
  await session.signIn(ANN);
  const late = session.getToken({ fresh: true });
  await session.signOut();
  await expect(late).rejects.toMatchObject({ status: 401 });
  expect(status()).toBe("signed-out");
});

test("without locks nothing is kept: two pages could not be told apart", async () => {
  const storage = new FakeStorage();
  const session = createSession({ fetch: new Accounts().fetch, storage, locks: null });
  await session.signIn(ANN);
  expect(storage.length).toBe(0);
});

test("rubbish in the storage is nobody's session", async () => {
  for (const value of ["{", "null", '{"id":1}', '{"id":"x","access":"a","refresh":"r","expiresAt":1,"user":{}}']) {
    const { tab } = browser();
    const storage = new FakeStorage();
    storage.setItem("clarion.session", value);
    const { status } = tab(storage);
    await settle();
    expect(status()).toBe("signed-out");
  }
});
