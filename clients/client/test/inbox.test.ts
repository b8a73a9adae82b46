/** The inbox shows at once what a person does, takes it back if it was refused, and ends up as the server has it. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createClient } from "../src/client.ts";
import type { Message } from "../src/wire.ts";
import { FakeServer, type InboxModel, settle, token } from "./support/server.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

interface Held {
  path: string;
  answer(): void;
  fail(status: number, code: string): void;
}

async function setup(messages = 0, user = "ann") {
  const server = new FakeServer(user);
  for (let n = 0; n < messages; n++) server.inbox.add(`Message ${n + 1}`);
  const held: Held[] = [];
  const calls: string[] = [];
  /** Answers HTTP calls at once, or holds them. */
  const http = { isHeld: false };
  const fetcher = vi.fn((input: unknown, init?: RequestInit) => {
    const path = String(input);
    calls.push(`${init?.method} ${path}`);
    return new Promise<Response>((resolve) => {
      const answer = () => resolve(serve(server.inbox, path, (publication) => server.send(publication)));
      const fail = (status: number, code: string) =>
        resolve(new Response(JSON.stringify({ code, detail: "No" }), { status }));
      if (http.isHeld) held.push({ path, answer, fail });
      else answer();
    });
  });
  const client = createClient({
    getToken: () => token(user),
    openSocket: server.open,
    fetch: fetcher as unknown as typeof fetch,
  });
  const { inbox } = client;
  const stop = inbox.subscribe(() => undefined);
  await settle();
  const ids = () => inbox.getSnapshot().items.map(({ id }) => id);
  const item = (id: string): Message => {
    const found = inbox.getSnapshot().items.find((message) => message.id === id);
    if (!found) throw new Error(`${id} is not there`);
    return found;
  };
  return { server, client, inbox, held, calls, http, stop, ids, item, view: () => inbox.getSnapshot() };
}

function serve(
  model: InboxModel,
  path: string,
  send: (publication: ReturnType<InboxModel["readAll"]>) => void,
): Response {
  const url = new URL(path, "http://test");
  if (url.pathname === "/v1/inbox") {
    return Response.json(model.page(Number(url.searchParams.get("limit")), url.searchParams.get("cursor")));
  }
  const [, id, action] = /^\/v1\/inbox\/(?:([^/]+)\/)?(\w+)$/.exec(url.pathname) ?? [];
  if (id) send(model.change(id, action as "read"));
  else send(action === "read" ? model.readAll() : model.archiveAll());
  return Response.json({});
}

test("it is loading, then there, then live", async () => {
  const { server, client, inbox, view, ids, calls } = await setup(2);
  expect(createClient({ getToken: () => "" }).inbox.getSnapshot()).toMatchObject({ loading: true, items: [] });
  expect(view()).toMatchObject({ loading: false, unread: 2, hasMore: false, error: null });
  const told: string[] = [];
  inbox.added.listen((messages) => told.push(...messages.map(({ id }) => id)));
  server.send(server.inbox.add());
  expect(ids()).toEqual(["m3", "m2", "m1"]);
  expect(view().unread).toBe(3);
  expect(told).toEqual(["m3"]);
  // All of it came over the socket.
  expect(calls).toEqual([]);
  client.close();
});

test("read shows before the server has answered, and stays when it has", async () => {
  const { inbox, item, view, held, http } = await setup(2);
  http.isHeld = true;
  const done = inbox.markRead(item("m1"));
  await settle();
  expect(item("m1").read_at).not.toBeNull();
  expect(view().unread).toBe(1);
  held[0]?.answer();
  expect(await done).toBeNull();
  await settle();
  expect(view()).toMatchObject({ unread: 1, error: null });
});

test("what the server refuses is taken back, with the reason", async () => {
  const { inbox, item, view, held, http, ids } = await setup(2);
  http.isHeld = true;
  const done = inbox.archive(item("m2"));
  await settle();
  expect(ids()).toEqual(["m1"]);
  expect(view().unread).toBe(1);
  held[0]?.fail(404, "not_found");
  expect(await done).toMatchObject({ code: "not_found" });
  expect(ids()).toEqual(["m2", "m1"]);
  expect(view()).toMatchObject({ unread: 2, error: { code: "not_found" } });
  inbox.clearError();
  expect(view().error).toBeNull();
});

test("a change that comes over the socket before the answer is not counted twice", async () => {
  const { server, inbox, item, view, held, http } = await setup(3);
  http.isHeld = true;
  const done = inbox.markRead(item("m1"));
  await settle();
  server.send(server.inbox.change("m1", "read"));
  expect(view().unread).toBe(2);
  held[0]?.answer();
  await done;
  expect(view().unread).toBe(2);
});

test("an answer that comes before the change is kept until the change comes", async () => {
  const { server, inbox, item, view, held, http } = await setup(2);
  http.isHeld = true;
  const done = inbox.markRead(item("m1"));
  await settle();
  // The publication is on its way: the subscription does not have it yet.
  server.isSubscribed = false;
  held[0]?.answer();
  await done;
  expect(view().unread).toBe(1);
  server.isSubscribed = true;
  server.send(server.inbox.log.at(-1) ?? null);
  expect(view().unread).toBe(1);
});

test("read, unread, read: they arrive in this order", async () => {
  const { inbox, item, calls, held, http, server } = await setup(1);
  http.isHeld = true;
  const all = [inbox.markRead(item("m1")), inbox.markUnread(item("m1")), inbox.markRead(item("m1"))];
  for (let n = 0; n < 3; n++) {
    await settle();
    expect(calls).toHaveLength(n + 1);
    held[n]?.answer();
  }
  await Promise.all(all);
  expect(calls.map((call) => call.split("/").at(-1))).toEqual(["read", "unread", "read"]);
  expect(server.inbox.unread).toBe(0);
});

test("all read leaves out what arrives meanwhile", async () => {
  const { server, inbox, view, item, held, http } = await setup(3);
  http.isHeld = true;
  const done = inbox.markAllRead();
  await settle();
  expect(view().unread).toBe(0);
  server.send(server.inbox.add());
  expect(view().unread).toBe(1);
  expect(item("m4").read_at).toBeNull();
  held[0]?.answer();
  await done;
  expect(view().unread).toBe(server.inbox.unread);
});

test("archived and taken back, it is where it was", async () => {
  const { inbox, item, ids, view, server } = await setup(3);
  const message = item("m2");
  await inbox.archive(message);
  expect(ids()).toEqual(["m3", "m1"]);
  expect(server.inbox.visible).toHaveLength(2);
  await inbox.unarchive(message);
  expect(ids()).toEqual(["m3", "m2", "m1"]);
  expect(view().unread).toBe(3);
});

test("all archived is empty, and there is nothing more", async () => {
  const { inbox, view } = await setup(60);
  await inbox.archiveAll();
  expect(view()).toMatchObject({ items: [], unread: 0, hasMore: false });
});

test("older ones come page by page, each once, to the last", async () => {
  const { inbox, view, ids, calls } = await setup(260);
  expect(view()).toMatchObject({ hasMore: true });
  expect(ids()).toHaveLength(50);
  const sizes: number[] = [];
  while (view().hasMore) {
    expect(await inbox.loadMore()).toBeNull();
    sizes.push(ids().length);
  }
  expect(sizes).toEqual([100, 150, 200, 250, 260]);
  expect(ids()).toEqual(Array.from({ length: 260 }, (_, n) => `m${260 - n}`));
  expect(await inbox.loadMore()).toBeNull();
  expect(calls).toHaveLength(5);
});

test("what changes while a page is on its way is on the page, too", async () => {
  const { server, inbox, view, held, http, item, ids } = await setup(80);
  http.isHeld = true;
  // Answered from now: the page does not know what follows.
  const old = server.inbox.page(100, null);
  const done = inbox.loadMore();
  expect(view().loadingMore).toBe(true);
  await settle();
  server.send(server.inbox.change("m5", "read"));
  server.send(server.inbox.change("m6", "archive"));
  server.send(server.inbox.add());
  vi.spyOn(server.inbox, "page").mockReturnValueOnce(old);
  held[0]?.answer();
  await done;
  expect(view().loadingMore).toBe(false);
  expect(item("m5").read_at).not.toBeNull();
  expect(ids()).toEqual(server.inbox.visible.map(({ id }) => id));
  expect(view().unread).toBe(server.inbox.unread);
});

test("a page of a former log is thrown away, and the list begins anew", async () => {
  const { server, inbox, view, held, http, ids } = await setup(80);
  http.isHeld = true;
  const old = server.inbox.page(100, null);
  const done = inbox.loadMore();
  await settle();
  server.break();
  server.inbox.loseLog();
  await vi.advanceTimersByTimeAsync(2_000);
  vi.spyOn(server.inbox, "page").mockReturnValueOnce(old);
  held[0]?.answer();
  expect(await done).toBeNull();
  expect(ids()).toHaveLength(50);
  expect(view()).toMatchObject({ hasMore: true, loadingMore: false });
});

test("a page that cannot be had says why; the next try may succeed", async () => {
  const { inbox, view, held, http, ids } = await setup(60);
  http.isHeld = true;
  const done = inbox.loadMore();
  await settle();
  held[0]?.fail(500, "internal");
  expect(await done).toMatchObject({ code: "internal" });
  expect(view()).toMatchObject({ loadingMore: false, error: { code: "internal" } });
  http.isHeld = false;
  await inbox.loadMore();
  expect(ids()).toHaveLength(60);
  expect(view().error).toBeNull();
});

test("an inbox that may not be watched says so instead of loading for ever", async () => {
  const server = new FakeServer("somebody else");
  const client = createClient({ getToken: () => token("ann"), openSocket: server.open });
  client.inbox.subscribe(() => undefined);
  await settle();
  expect(client.inbox.getSnapshot()).toMatchObject({ loading: false, error: { code: "forbidden" } });
});

test("a connection that has failed shows in the inbox", async () => {
  const server = new FakeServer();
  server.refuse = () => ({ code: "forbidden", message: "not here" });
  const client = createClient({ getToken: () => token("ann"), openSocket: server.open });
  client.inbox.subscribe(() => undefined);
  await settle();
  expect(client.inbox.getSnapshot()).toMatchObject({ loading: false, error: { detail: "not here" } });
});

test("when another person's token comes, nothing of the former one's is left", async () => {
  const server = new FakeServer("ann");
  server.inbox.add();
  let user = "ann";
  const client = createClient({ getToken: () => token(user), openSocket: server.open });
  client.inbox.subscribe(() => undefined);
  await settle();
  expect(client.inbox.getSnapshot().items).toHaveLength(1);
  user = "ben";
  server.break({ code: 3501 });
  await vi.advanceTimersByTimeAsync(2_000);
  expect(client.inbox.getSnapshot().items).toEqual([]);
  expect(client.inbox.topic?.name).toBe("inbox:ben");
});

test("the last watcher gone, the subscription ends; a new one gets the inbox again", async () => {
  const { server, inbox, stop, view } = await setup(1);
  stop();
  await vi.advanceTimersByTimeAsync(2_000);
  expect(server.isSubscribed).toBe(false);
  server.inbox.add();
  inbox.subscribe(() => undefined);
  await settle();
  expect(view().unread).toBe(2);
});

test("notifications are sent with a key, the same one for each try", async () => {
  const keys: unknown[] = [];
  const answers = [new Response("", { status: 503 }), Response.json({ id: "n1", recipients: 1 }, { status: 202 })];
  const client = createClient({
    getToken: () => token("ann"),
    openSocket: new FakeServer().open,
    fetch: ((_input: unknown, init: RequestInit) => {
      keys.push((init.headers as Record<string, string>)["idempotency-key"]);
      return Promise.resolve(answers.shift());
    }) as typeof fetch,
  });
  const sent = client.notify({ recipients: ["ben"], title: "Hello" });
  await vi.advanceTimersByTimeAsync(5_000);
  expect(await sent).toMatchObject({ id: "n1" });
  expect(keys).toHaveLength(2);
  expect(new Set(keys).size).toBe(1);
  expect(keys[0]).toMatch(/^[0-9a-f]{32}$/);
});
