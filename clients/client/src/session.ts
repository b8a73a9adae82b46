/**
 * Signing in with Clarion's own accounts, for pages without a login of their own. Applications that have one give
 * `createClient` their own `getToken` instead.
 *
 * Tokens are in memory and, so that a reload does not sign anybody out, in sessionStorage: it belongs to one tab and ends with
 * it; localStorage is never used. Refresh tokens are used once, so two tabs must not share one. A browser copies sessionStorage
 * into a duplicated tab; a lock that a tab holds for its life tells the copy that it is one, and it asks to sign in.
 */

import { asError, ClarionError } from "./errors.ts";
import { type Fetch, Http } from "./http.ts";
import { createStore, type Readable } from "./store.ts";
import type { GetToken } from "./tokens.ts";
import { type Grant, isObject, type User } from "./wire.ts";

export interface SessionState {
  /** restoring: looking for what a reload left. */
  readonly status: "restoring" | "signed-out" | "signed-in";
  readonly user: User | null;
  /** Whether the session ended by itself: it ran out, or was revoked. */
  readonly hasEnded: boolean;
}

export interface Session extends Readable<SessionState> {
  /** Rejects with a ClarionError; so do `register` and `signOut` where they cannot reach the server. */
  signIn(given: { username: string; password: string }): Promise<void>;
  register(given: { username: string; password: string; name?: string }): Promise<void>;
  /** Forgets everything here first, then tells the server. */
  signOut(): Promise<void>;
  /** For `createClient`. */
  readonly getToken: GetToken;
}

export interface SessionOptions {
  readonly url?: string;
  readonly fetch?: Fetch;
  /** Where a reload finds the session; null: nowhere. Default: sessionStorage, if the tab can hold a lock. */
  readonly storage?: Storage | null;
  readonly locks?: LockManager | null;
}

/** What is kept. `id` names this tab's sign-in among those of the browser. */
interface Kept {
  readonly id: string;
  readonly user: User;
  readonly access: string;
  readonly expiresAt: number;
  readonly refresh: string;
}

const KEY = "clarion.session";
// An access token with less life than this is not handed out.
const MARGIN_MS = 20_000;
// A page that is being reloaded may hold its lock for a moment after its successor has started.
const HANDOVER_MS = 2_000;

export function createSession(options: SessionOptions = {}): Session {
  const http = new Http(options.url ?? "", null, options.fetch);
  const locks = options.locks === undefined ? (globalThis.navigator?.locks ?? null) : options.locks;
  const storage = locks ? (options.storage === undefined ? tabStorage() : options.storage) : null;
  const state = createStore<SessionState>({ status: "restoring", user: null, hasEnded: false });
  let kept: Kept | null = null;
  let refreshing: Promise<string> | null = null;

  function take(grant: Grant, id: string): void {
    kept = {
      id,
      user: grant.user,
      access: grant.access_token,
      expiresAt: Date.now() + grant.expires_in * 1_000,
      refresh: grant.refresh_token,
    };
    storage?.setItem(KEY, JSON.stringify(kept));
    const before = state.getSnapshot();
    if (before.status !== "signed-in" || before.user?.id !== grant.user.id) {
      state.set({ status: "signed-in", user: grant.user, hasEnded: false });
    }
  }

  function forget(hasEnded: boolean): void {
    kept = null;
    storage?.removeItem(KEY);
    state.set({ status: "signed-out", user: null, hasEnded });
  }

  async function restore(): Promise<void> {
    const found = readKept(storage);
    const isMine = found !== null && locks !== null && (await hold(locks, found.id));
    // Meanwhile somebody may have signed in.
    if (state.getSnapshot().status !== "restoring") return;
    if (!isMine) return forget(false);
    kept = found;
    state.set({ status: "signed-in", user: found.user, hasEnded: false });
  }

  async function enter(path: string, body: object): Promise<void> {
    const grant = await http.call<Grant>({ method: "POST", path, body });
    const id = crypto.getRandomValues(new Uint32Array(4)).join("-");
    if (locks) await hold(locks, id);
    take(grant, id);
  }

  async function refresh(): Promise<string> {
    const before = kept;
    if (!before) throw signedOut();
    try {
      const body = { refresh_token: before.refresh };
      const grant = await http.call<Grant>({ method: "POST", path: "/v1/auth/refresh", body });
      if (kept !== before) throw signedOut();
      take({ ...grant, user: grant.user ?? before.user }, before.id);
      return grant.access_token;
    } catch (thrown) {
      const error = asError(thrown);
      if (error.status === 401 && kept === before) forget(true);
      throw error;
    }
  }

  void restore();

  return {
    getSnapshot: state.getSnapshot,
    subscribe: state.subscribe,
    signIn: (given) => enter("/v1/auth/login", given),
    register: (given) => enter("/v1/auth/register", given),
    async signOut() {
      const before = kept;
      forget(false);
      if (!before) return;
      const body = { refresh_token: before.refresh };
      await http.call({ method: "POST", path: "/v1/auth/logout", body });
    },
    async getToken({ fresh }) {
      if (!kept) throw signedOut();
      if (!fresh && kept.expiresAt - Date.now() > MARGIN_MS) return kept.access;
      refreshing ??= refresh().finally(() => {
        refreshing = null;
      });
      return refreshing;
    },
  };
}

function signedOut(): ClarionError {
  return new ClarionError("unauthenticated", "Nobody is signed in", { status: 401 });
}

/** Takes the lock for the life of the page. False: another page has it. */
function hold(locks: LockManager, id: string): Promise<boolean> {
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(HANDOVER_MS);
    const held = locks.request(`${KEY}.${id}`, { signal }, () => {
      resolve(true);
      return new Promise<never>(() => undefined);
    });
    held.catch(() => resolve(false));
  });
}

function tabStorage(): Storage | null {
  try {
    return globalThis.sessionStorage ?? null;
  } catch {
    // Refused by the browser's settings.
    return null;
  }
}

function readKept(storage: Storage | null): Kept | null {
  try {
    const found: unknown = JSON.parse(storage?.getItem(KEY) ?? "null");
    return isKept(found) ? found : null;
  } catch {
    return null;
  }
}

function isKept(value: unknown): value is Kept {
  return (
    isObject(value) &&
    ["id", "access", "refresh"].every((member) => typeof value[member] === "string") &&
    typeof value["expiresAt"] === "number" &&
    isObject(value["user"]) &&
    typeof value["user"]["id"] === "string"
  );
}
