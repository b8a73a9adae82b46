/** Live search and the real server: results stay what a fresh query finds, also across a kill of the server. */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createClient, type Topic } from "../src/index.ts";
import { type Results, search } from "../src/search.ts";

interface Shoe {
  readonly title: string;
  readonly price: number;
}

const root = fileURLToPath(new URL("../../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "clarion-search-"));
const secret = "the application's secret, 32 bytes or more";
const port = await freePort();
const url = `http://127.0.0.1:${port}`;
const env = {
  ...process.env,
  CLARION_PORT: String(port),
  CLARION_DATA_DIR: folder,
  CLARION_AUTH_JWT_SECRET: secret,
  CLARION_AUTH_ISSUER: "app",
};
const python = `${root}/.venv/bin/python`;
let server: ChildProcess;
let key: string;

beforeAll(async () => {
  await start();
  const made = execFileSync(python, ["-m", "clarion", "keys", "create", "shop", "--scope", "search:*"], {
    cwd: root,
    env,
  });
  key = made.toString().trim().split("\n").at(-1) ?? "";
}, 30_000);

afterAll(async () => {
  await stop();
  rmSync(folder, { recursive: true });
});

async function start(): Promise<void> {
  server = spawn(python, ["-m", "clarion", "serve"], { cwd: root, env, stdio: "ignore" });
  for (;;) {
    if (server.exitCode !== null) throw new Error("the server ended by itself");
    const answer = await fetch(`${url}/readyz`).catch(() => null);
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

function token(): string {
  const claims = { iss: "app", aud: "clarion", sub: "ann", exp: 2 ** 33, topics: { "search:shoes": ["subscribe"] } };
  const body = [{ alg: "HS256" }, claims].map((each) => Buffer.from(JSON.stringify(each)).toString("base64url"));
  return [...body, createHmac("sha256", secret).update(body.join(".")).digest("base64url")].join(".");
}

async function call(method: string, path: string, body?: unknown): Promise<void> {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const answer = await fetch(`${url}/v1/search/collections/shoes${path}`, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!answer.ok) throw new Error(await answer.text());
}

/** Returns once the titles are these. */
function when(shoes: Topic<Results<Shoe>>, ...titles: string[]): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      const { state } = shoes.getSnapshot();
      if (state?.items.map(({ data }) => data.title).join() !== titles.join()) return;
      queueMicrotask(() => stopWatching());
      resolve();
    };
    const stopWatching = shoes.subscribe(look);
    look();
  });
}

test("what enters, moves and leaves is seen, each query by itself, also what happened while the server was away", async () => {
  await call("PUT", "", { fields: { title: "text", price: "number" } });
  await call("PUT", "/documents/a", { data: { title: "Red shoe", price: 30 } });
  const client = createClient({ url, getToken: token });
  const red = search<Shoe>(client, "shoes", { text: "red*", sort: ["price"], limit: 2 });
  const stopWatching = red.subscribe(() => undefined);
  await when(red, "Red shoe");
  await call("PUT", "/documents/b", { data: { title: "Redder boot", price: 20 } });
  await when(red, "Redder boot", "Red shoe");
  await call("PUT", "/documents/c", { data: { title: "Reddest boot", price: 25 } });
  await when(red, "Redder boot", "Reddest boot");
  expect(red.getSnapshot().state).toMatchObject({ more: true, total: 3 });
  const boots = search<Shoe>(client, "shoes", { text: "boot", sort: ["-price"] });
  await when(boots, "Reddest boot", "Redder boot");
  expect(search(client, "shoes", { text: "boot", sort: ["-price"] })).toBe(boots);
  await call("DELETE", "/documents/b");
  await when(red, "Reddest boot", "Red shoe");
  await stop();
  await start();
  await call("PUT", "/documents/a", { data: { title: "Blue shoe", price: 30 } });
  await when(red, "Reddest boot");
  stopWatching();
  client.close();
}, 30_000);
