/** Push: in which order a browser is asked, what the server is told, and what the worker finds. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Call, ClarionError } from "../src/index.ts";
import { push } from "../src/push.ts";

const KEY = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
const bytes = (text: string) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (each) => each.charCodeAt(0)).buffer;

function browser() {
  const said: string[] = [];
  const stored = new Map<string, unknown>();
  let subscription: Subscription | null = null;
  class Subscription {
    readonly options: { applicationServerKey: ArrayBuffer };
    constructor(key: string) {
      this.options = { applicationServerKey: bytes(key) };
    }
    toJSON() {
      return { endpoint: "https://push.example/1", keys: {} };
    }
    async unsubscribe() {
      said.push("unsubscribe");
      subscription = null;
      return true;
    }
  }
  const pushManager = {
    getSubscription: async () => subscription,
    subscribe: vi.fn(async ({ applicationServerKey }: { applicationServerKey: string }) => {
      said.push("subscribe");
      subscription = new Subscription(applicationServerKey);
      return subscription;
    }),
  };
  const registration = { active: {}, pushManager };
  const register = vi.fn(async () => registration);
  const permission = {
    permission: "default",
    requestPermission: vi.fn(async (): Promise<string> => {
      said.push("ask");
      return "granted";
    }),
  };
  vi.stubGlobal("navigator", { serviceWorker: { register, getRegistration: async () => registration } });
  vi.stubGlobal("PushManager", class {});
  vi.stubGlobal("Notification", permission);
  vi.stubGlobal("caches", {
    open: async () => ({
      put: async (at: string, response: Response) => stored.set(at, await response.json()),
      match: async (at: string) => (stored.has(at) ? Response.json(stored.get(at)) : undefined),
    }),
    delete: async () => stored.clear(),
  });
  return { said, stored, pushManager, register, permission, other: () => new Subscription("AAAA") };
}

const calls: Call[] = [];
let refusal: ClarionError | null = null;
const client = {
  url: "https://clarion.example",
  call: async (call: Call) => {
    calls.push(call);
    if (refusal) throw refusal;
    if (call.path === "/v1/push/key") return { key: KEY } as never;
    return (call.method === "POST" ? { id: "d1", renewal: "r1" } : null) as never;
  },
};

beforeEach(() => {
  calls.length = 0;
  refusal = null;
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

test("the user is asked first, then the server is told; the worker finds what it needs", async () => {
  const { said, stored, register } = browser();
  expect(await push(client).state()).toBe("unsubscribed");
  expect(await push(client).subscribe({ label: "laptop" })).toBe("d1");
  expect(said).toEqual(["ask", "subscribe"]);
  expect(register).toHaveBeenCalledWith("https://clarion.example/v1/push/worker.js", { scope: "/" });
  expect(calls.map(({ method, path }) => `${method} ${path}`)).toEqual(["GET /v1/push/key", "POST /v1/push/devices"]);
  expect(calls[1]?.body).toMatchObject({ label: "laptop", subscription: { endpoint: "https://push.example/1" } });
  expect(stored.get("/clarion-push")).toEqual({ url: "https://clarion.example", id: "d1", renewal: "r1" });
  expect(await push(client).state()).toBe("subscribed");
});

test("each start of the application says again that the device is there, with the subscription that it has", async () => {
  const { said } = browser();
  await push(client).subscribe();
  await push(client).subscribe();
  expect(said).toEqual(["ask", "subscribe", "ask"]);
  expect(calls).toHaveLength(4);
});

test("a subscription for another server's key is replaced", async () => {
  const { said, pushManager, other } = browser();
  pushManager.subscribe.mockImplementationOnce(async () => other());
  const found = await pushManager.subscribe({ applicationServerKey: "AAAA" });
  pushManager.getSubscription = async () => found;
  await push(client).subscribe();
  expect(said).toEqual(["ask", "unsubscribe", "subscribe"]);
});

test("a browser that does not answer is an error, and is asked anew by the next page", async () => {
  const { pushManager } = browser();
  vi.useFakeTimers();
  pushManager.subscribe.mockImplementationOnce(() => new Promise(() => undefined));
  const never = expect(push(client).subscribe()).rejects.toMatchObject({ code: "timeout" });
  await vi.advanceTimersByTimeAsync(10_000);
  await never;
  expect(calls).toHaveLength(1);
  expect(await push(client).subscribe()).toBe("d1");
});

test("who says no is told apart from who cannot", async () => {
  const { permission } = browser();
  permission.requestPermission.mockImplementation(async () => "denied");
  await expect(push(client).subscribe()).rejects.toMatchObject({ code: "push_denied" });
  permission.permission = "denied";
  expect(await push(client).state()).toBe("denied");
  expect(calls).toEqual([]);
  vi.unstubAllGlobals();
  vi.stubGlobal("navigator", {});
  expect(await push(client).state()).toBe("unsupported");
  await expect(push(client).subscribe()).rejects.toMatchObject({ code: "push_unsupported" });
  await push(client).unsubscribe();
  expect(calls).toEqual([]);
});

test("signing off ends the subscription here and there; a device that is gone already is fine", async () => {
  const { said, stored } = browser();
  await push(client).subscribe();
  refusal = new ClarionError("not_found", "gone", { status: 404 });
  await push(client).unsubscribe();
  expect(said.at(-1)).toBe("unsubscribe");
  expect(stored.size).toBe(0);
  expect(calls.at(-1)).toMatchObject({ method: "DELETE", path: "/v1/push/devices/d1" });
  await push(client).unsubscribe();
  expect(calls).toHaveLength(3);
});
