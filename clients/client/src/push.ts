/** Push messages for this browser: sign it on, sign it off. What arrives is shown by the service worker that the server brings. */

import type { Client } from "./client.ts";
import { asError, ClarionError } from "./errors.ts";

export interface PushOptions {
  /** The service worker; default: Clarion's own, which only pages of its origin may use. Others import it into one of theirs. */
  readonly worker?: string;
  /** What the worker is for; default: the whole origin. */
  readonly scope?: string;
  /** What a person calls this device. */
  readonly label?: string;
}

/** Why there is no push: the browser cannot, or the user has said no. */
export type PushState = "unsupported" | "denied" | "subscribed" | "unsubscribed";

interface Put {
  readonly id: string;
  readonly renewal: string | null;
}

// What the worker finds: it has no login, and no other place that it shares with pages. See push_worker.js.
const STORE = "clarion-push";
const KEY = "/clarion-push";
// A browser that has just started may never answer, nor when it is asked again: only the next page load helps.
const PATIENCE_MS = 10_000;

/** Push messages for the client's user. */
export function push(client: Pick<Client, "call" | "url">): Push {
  return new Push(client);
}

export class Push {
  readonly #client: Pick<Client, "call" | "url">;

  constructor(client: Pick<Client, "call" | "url">) {
    this.#client = client;
  }

  /** How things stand, without asking anybody. */
  async state(options: Pick<PushOptions, "scope"> = {}): Promise<PushState> {
    if (!isSupported()) return "unsupported";
    if (Notification.permission === "denied") return "denied";
    const registration = await navigator.serviceWorker.getRegistration(options.scope ?? "/");
    return (await registration?.pushManager.getSubscription()) ? "subscribed" : "unsubscribed";
  }

  /**
   * Sends the user's push messages to this browser; resolves to the device's id. The first time from a click: browsers ask the user
   * only then. Afterwards at each start of the application, so that the server knows that the device is still there.
   */
  async subscribe(options: PushOptions = {}): Promise<string> {
    if (!isSupported()) throw new ClarionError("push_unsupported", "This browser takes no push messages");
    // Before anything else is awaited: a click does not last.
    if ((await Notification.requestPermission()) !== "granted") {
      throw new ClarionError("push_denied", "The user wants no push messages");
    }
    const { key } = await this.#client.call<{ key: string }>({ method: "GET", path: "/v1/push/key", retries: 2 });
    const worker = options.worker ?? `${this.#client.url}/v1/push/worker.js`;
    const registration = await navigator.serviceWorker.register(worker, { scope: options.scope ?? "/" });
    await active(registration);
    const subscription = await subscribed(registration.pushManager, key);
    const put = await this.#client.call<Put>({
      method: "POST",
      path: "/v1/push/devices",
      body: { subscription: subscription.toJSON(), label: options.label ?? "" },
      retries: 2,
    });
    await keep({ url: this.#client.url, id: put.id, renewal: put.renewal });
    return put.id;
  }

  /** Sends nothing more to this browser. To be called before the user signs out, while the server knows them. */
  async unsubscribe(options: Pick<PushOptions, "scope"> = {}): Promise<void> {
    if (!isSupported()) return;
    const { id } = await kept();
    await caches.delete(STORE);
    const registration = await navigator.serviceWorker.getRegistration(options.scope ?? "/");
    await (await registration?.pushManager.getSubscription())?.unsubscribe();
    if (!id) return;
    try {
      await this.#client.call({ method: "DELETE", path: `/v1/push/devices/${id}`, retries: 2 });
    } catch (error) {
      // It is gone already, or somebody else's: as it should be.
      if (asError(error).status !== 404) throw error;
    }
  }
}

function isSupported(): boolean {
  return "serviceWorker" in navigator && "PushManager" in globalThis && "Notification" in globalThis;
}

async function subscribed(manager: PushManager, key: string): Promise<PushSubscription> {
  const known = await manager.getSubscription();
  if (known) {
    if (text(known.options.applicationServerKey) === key) return known;
    await known.unsubscribe(); // it was another server's
  }
  try {
    return await patiently(manager.subscribe({ userVisibleOnly: true, applicationServerKey: key }));
  } catch (error) {
    throw asError(error);
  }
}

function patiently<T>(promise: Promise<T>): Promise<T> {
  const late = new Promise<never>((_, reject) => {
    setTimeout(() => reject(new ClarionError("timeout", "The browser does not subscribe")), PATIENCE_MS);
  });
  return Promise.race([promise, late]);
}

/** `navigator.serviceWorker.ready` waits for a worker that controls this very page; another scope never does. */
async function active(registration: ServiceWorkerRegistration): Promise<void> {
  const worker = registration.installing ?? registration.waiting;
  if (registration.active || !worker) return;
  await new Promise<void>((resolve, reject) => {
    worker.addEventListener("statechange", () => {
      if (worker.state === "activated") resolve();
      if (worker.state === "redundant") reject(new ClarionError("push_failed", "The service worker does not install"));
    });
  });
}

async function keep(known: object): Promise<void> {
  await (await caches.open(STORE)).put(KEY, new Response(JSON.stringify(known)));
}

async function kept(): Promise<{ readonly id?: string }> {
  const found = await (await caches.open(STORE)).match(KEY);
  return found ? ((await found.json()) as { id?: string }) : {};
}

function text(key: ArrayBuffer | null): string {
  const binary = String.fromCharCode(...new Uint8Array(key ?? new ArrayBuffer(0)));
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
