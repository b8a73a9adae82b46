/** The client and the real server: `examples/poll`, with two people on it. */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { watchIdle } from "../src/idle.ts";
import { type Client, createClient, type InboxPage, type LiveTopic, type Readable } from "../src/index.ts";
import { preferences } from "../src/preferences.ts";
import { contacts, room } from "../src/presence.ts";
import { markSeen } from "../src/seen.ts";
import { signals } from "../src/signals.ts";
import { track } from "../src/track.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "clarion-e2e-"));
const clients: Client[] = [];
let port = 0;
let server: ChildProcess;

beforeAll(async () => {
  port = await freePort();
  await start();
}, 30_000);

afterAll(async () => {
  for (const client of clients) client.close();
  await stop();
  rmSync(folder, { recursive: true });
});

async function start(): Promise<void> {
  server = spawn(`${root}/.venv/bin/python`, ["-m", "clarion", "serve", "--app", "examples.poll.server:setup"], {
    cwd: root,
    env: { ...process.env, CLARION_PORT: String(port), CLARION_DATA_DIR: folder, CLARION_PRESENCE_OPEN: "lobby" },
    stdio: "ignore",
  });
  for (;;) {
    if (server.exitCode !== null) throw new Error("the server ended by itself");
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => null);
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function stop(): Promise<void> {
  return new Promise((resolve) => {
    server.once("exit", () => resolve());
    server.kill("SIGKILL");
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const socket = createServer().listen(0, "127.0.0.1", () => {
      const address = socket.address();
      socket.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}

async function person(username: string): Promise<LiveTopic> {
  return (await login(username)).topic("poll:lunch");
}

async function login(username: string): Promise<Client> {
  const url = `http://127.0.0.1:${port}`;
  const answer = await fetch(`${url}/v1/auth/register`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ username, password: "correct horse battery" }),
  });
  const { access_token: token } = (await answer.json()) as { access_token: string };
  const client = createClient({ url, getToken: () => token });
  clients.push(client);
  return client;
}

/** The first time that something is so of what is watched. */
function until<View>(watched: Readable<View>, wanted: (view: View) => boolean): Promise<View> {
  return new Promise((resolve) => {
    const look = () => {
      const view = watched.getSnapshot();
      if (!wanted(view)) return;
      queueMicrotask(() => stopWatching());
      resolve(view);
    };
    const stopWatching = watched.subscribe(look);
    look();
  });
}

/** The first time that the view is as wanted. */
function when(topic: LiveTopic, wanted: (votes: Record<string, unknown>) => boolean): Promise<Record<string, unknown>> {
  return new Promise((resolve) => {
    const look = () => {
      const { items, isWhole, status } = topic.snapshot;
      const votes = Object.fromEntries([...items].map(([key, { data }]) => [key, data]));
      if (isWhole && status === "live" && wanted(votes)) {
        queueMicrotask(() => stopWatching());
        resolve(votes);
      }
    };
    const stopWatching = topic.subscribe(look);
    look();
  });
}

test("what one votes the other sees; a second vote takes the first one's place; a refusal is told", async () => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const seen: unknown[] = [];
  const stopListening = ben.on("change", ({ key, data }) => seen.push([key, data]));
  await when(ben, () => true);
  await ann.publish("vote", "soup");
  await ann.publish("vote", "pizza");
  await ben.publish("vote", "salad");
  expect(await when(ben, (votes) => Object.keys(votes).length === 2)).toEqual({ ann: "pizza", ben: "salad" });
  expect(seen).toEqual([
    ["ann", "soup"],
    ["ann", "pizza"],
    ["ben", "salad"],
  ]);
  await expect(ann.publish("vote", "cake")).rejects.toMatchObject({ code: "invalid" });
  const once = await ann.publish("vote", "soup", { id: "one" });
  expect(await ann.publish("vote", "soup", { id: "one" })).toEqual({ ...once, dropped: "duplicate" });
  stopListening();
});

test("two people are in a room, one locks what the other wants, and each sees the other type", async () => {
  const [dan, eva] = [await login("dan"), await login("eva")];
  const [hers, his] = [room(eva, "lobby", { enter: { device: "web" } }), room(dan, "lobby", { enter: {} })];
  const stops = [hers.subscribe(() => undefined), his.subscribe(() => undefined)];
  await until(hers, ({ people }) => people.has("dan"));
  await his.update({ status: "dnd", data: { name: "Dan" } });
  const { users, people } = await until(hers, ({ people }) => people.get("dan")?.status === "dnd");
  expect([users, people.get("dan")?.data]).toEqual([2, { name: "Dan" }]);
  const own = contacts(dan, "dan");
  stops.push(own.subscribe(() => undefined));
  expect((await until(own, ({ isWhole, people }) => isWhole && people.has("dan"))).users).toBe(1);
  vi.stubGlobal("document", Object.assign(new EventTarget(), { visibilityState: "hidden" }));
  const stopIdle = watchIdle(own);
  await until(own, ({ people }) => people.get("dan")?.status === "idle");
  stopIdle();
  await until(own, ({ people }) => people.get("dan")?.status === "online");
  vi.unstubAllGlobals();
  const [herDoc, hisDoc] = [signals(eva, "lobby"), signals(dan, "lobby")];
  stops.push(
    herDoc.subscribe(() => undefined),
    hisDoc.subscribe(() => undefined),
  );
  await until(hisDoc, ({ status }) => status === "live");
  await hisDoc.typing();
  await until(herDoc, ({ typing }) => typing.includes("dan"));
  const lock = await hisDoc.lock("title", { why: "editing" });
  await expect(herDoc.lock("title")).rejects.toMatchObject({ code: "conflict" });
  expect((await until(herDoc, ({ locks }) => locks.size === 1)).locks.get("title")?.user).toBe("dan");
  await lock.release();
  await (await herDoc.lock("title")).release();
  for (const stop of stops) stop();
}, 30_000);

test("what a person did and saw is told without a connection; what is told twice counts once; what they may not say is refused", async () => {
  const fay = await login("fay");
  const scopes = ["--scope=events:read", "--scope=notifications:send"];
  const made = execFileSync(`${root}/.venv/bin/python`, ["-m", "clarion", "keys", "create", "e2e", ...scopes], {
    cwd: root,
    env: { ...process.env, CLARION_DATA_DIR: folder },
  });
  const key = made.toString().trim();
  const app = createClient({ url: `http://127.0.0.1:${port}`, getToken: () => key });

  for (let n = 0; n < 2; n++) await track(fay, "page.viewed", { path: "/" }, { id: "one" });
  await track(fay, "page.viewed", {}, { at: new Date(), consent: false });
  await expect(track(fay, "order.paid")).rejects.toMatchObject({ code: "forbidden" });
  const path = "/v1/event-names/page.viewed";
  expect(await app.call({ method: "GET", path })).toMatchObject({ count: 2, people: 1 });

  await app.notify({ recipients: ["fay"], title: "Hello" });
  const inbox = () => fay.call<InboxPage>({ method: "GET", path: "/v1/inbox" });
  const { items, unseen } = await inbox();
  expect(unseen).toBe(1);
  expect(await markSeen(fay, [items[0]?.id ?? ""])).toBeNull();
  expect(await inbox()).toMatchObject({ unread: 1, unseen: 0 });
}, 30_000);

test("people change what they want by their own client, and a page that knew less is refused", async () => {
  const mine = preferences(await login("gil"));
  expect(await mine.get()).toEqual({ document: {}, revision: 0 });
  await mine.put({ channels: { push: false } }, 0);
  await expect(mine.put({}, 0)).rejects.toMatchObject({ code: "stale", status: 412 });
  await mine.patch({ categories: { social: { email: "payload.urgent" } } }, 1);
  await mine.mute("payload.thread", 17, new Date(Date.now() + 60_000));
  await mine.pause(new Date(Date.now() + 60_000));
  const thread = { workflow: "", category: "social", channel: "inbox" };
  expect(await mine.explain({ ...thread, payload: { thread: 17 } })).toMatchObject({ verdict: "skip" });
  await mine.unmute("payload.thread", 17);
  await mine.pause(null);
  const { document, revision, items } = await mine.overview();
  expect({ document, revision }).toEqual({
    document: { channels: { push: false }, categories: { social: { email: "payload.urgent" } } },
    revision: 6,
  });
  expect(items.map(({ key }) => key)).toEqual(["social"]);
  expect((await mine.link()).url).toMatch(/^\/preferences\//);
}, 30_000);

test("a server that was killed comes back without its memory: the state begins anew, and votes go on", async () => {
  const cas = await person("cas");
  const stopWatching = cas.subscribe(() => undefined);
  await when(cas, (votes) => "ann" in votes);
  await stop();
  const late = cas.publish("vote", "soup");
  await start();
  expect(await late).toMatchObject({ topic: "poll:lunch", offset: 1, class: "recoverable" });
  expect(await when(cas, (votes) => !("ann" in votes) && "cas" in votes)).toEqual({ cas: "soup" });
  expect(cas.snapshot.recovered).toBe(false);
  stopWatching();
}, 30_000);
