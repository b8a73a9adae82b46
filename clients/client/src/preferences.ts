/**
 * What the person wants to be told, and how: read and changed by their own client.
 *
 *     import { preferences } from "@clarion/client/preferences";
 *     const mine = preferences(client);
 *     await mine.patch({ categories: { social: { push: false } } });
 *     await mine.mute("payload.thread", "t-17");
 */

import type { Client } from "./client.ts";

/** Yes, no, or only if this condition holds. */
export type Choice = boolean | string;
/** By channel; `*`: on those that are not named. */
export type Choices = Readonly<Record<string, Choice>>;
export type Day = "mon" | "tue" | "wed" | "thu" | "fri" | "sat" | "sun";

export interface Muted {
  readonly path: string;
  readonly value: string | number | boolean;
  readonly until?: string | null;
}

/** Times are `HH:MM` in `time_zone`, days `YYYY-MM-DD`, moments RFC 3339. What is absent, the deployment and the workflows decide. */
export interface PreferenceDocument {
  readonly channels?: Choices;
  readonly categories?: Readonly<Record<string, Choice | Choices>>;
  readonly workflows?: Readonly<Record<string, Choice | Choices>>;
  readonly muted?: readonly Muted[];
  readonly quiet?:
    | readonly { readonly from: string; readonly to: string; readonly days?: readonly Day[] | null }[]
    | null;
  readonly holidays?: readonly string[];
  readonly paused_until?: string | null;
  readonly digests?: { readonly at: readonly string[]; readonly days?: readonly Day[] | null } | null;
  readonly time_zone?: string | null;
}

/** A merge patch (RFC 7396): null takes something back, lists are replaced. */
export type PreferencePatch = { readonly [K in keyof PreferenceDocument]?: Patched<PreferenceDocument[K]> | null };
type Patched<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { readonly [K in keyof T]?: Patched<T[K]> | null }
    : T;

/** `revision` 0: nothing was ever said. */
export interface KeptPreferences {
  readonly document: PreferenceDocument;
  readonly revision: number;
}

/** One category or workflow; `source` says who decides, `locked` that it cannot be turned off. */
export interface PreferenceRow {
  readonly kind: "category" | "workflow";
  readonly key: string;
  readonly name: string;
  readonly category: string;
  readonly locked: boolean;
  readonly channels: readonly {
    readonly channel: string;
    readonly wanted: boolean;
    readonly source: string;
    readonly condition: string | null;
  }[];
}

/** What a page of settings shows. */
export interface PreferenceOverview extends KeptPreferences {
  readonly user: string;
  readonly name: string;
  readonly time_zone: string;
  readonly items: readonly PreferenceRow[];
  readonly without_effect: readonly { readonly at: string; readonly why: string }[];
}

/** What would become of a message now; the rule that `decides` says why. */
export interface Explained {
  readonly verdict: "send" | "skip" | "defer" | "collect";
  readonly why: string;
  readonly until: string | null;
  readonly rules: readonly {
    readonly rule: string;
    readonly verdict: string | null;
    readonly why: string;
    readonly decides: boolean;
  }[];
  readonly choices: readonly { readonly source: string; readonly choice: Choice | null }[];
}

export interface Supposed {
  readonly channel: string;
  readonly workflow?: string;
  readonly category?: string;
  readonly payload?: Readonly<Record<string, unknown>>;
  readonly actor?: string;
}

export interface Preferences {
  /** What the person has said. */
  get(): Promise<KeptPreferences>;
  /** What holds, with who says so. */
  overview(): Promise<PreferenceOverview>;
  /** Say it anew. With the `revision` that was read, a change that somebody else made meanwhile is `stale` (412). */
  put(document: PreferenceDocument, revision?: number): Promise<KeptPreferences>;
  /** Change parts of it. */
  patch(patch: PreferencePatch, revision?: number): Promise<KeptPreferences>;
  /** Nothing more of messages whose payload has this value there; for good, or until then. */
  mute(path: string, value: Muted["value"], until?: Date): Promise<KeptPreferences>;
  unmute(path: string, value: Muted["value"]): Promise<KeptPreferences>;
  /** Nothing but the inbox until then; null: everything again. */
  pause(until: Date | null): Promise<KeptPreferences>;
  explain(message: Supposed): Promise<Explained>;
  /** The address of the person's page, which needs no login. */
  link(): Promise<{ readonly url: string; readonly expires_at: string }>;
}

const PATH = "/v1/preferences";
/** What may happen twice is tried again, for half a minute on average. */
const RETRIES = 6;

/** The preferences of the person whose token the client has. Needs no connection. Calls reject with a `ClarionError`. */
export function preferences(client: Client): Preferences {
  const read = <T>(path: string) => client.call<T>({ method: "GET", path, retries: RETRIES });
  const change = (method: "PUT" | "PATCH" | "POST", body: object, revision?: number, at = "") =>
    client.call<KeptPreferences>({
      method,
      path: PATH + at,
      body,
      // Once it has happened, a repetition would be refused: the revision is another one.
      ...(revision === undefined ? { retries: RETRIES } : { headers: { "if-match": `"${revision}"` } }),
    });
  const patch = (given: PreferencePatch, revision?: number) => change("PATCH", given, revision);
  return {
    get: () => read(PATH),
    overview: () => read(`${PATH}/overview`),
    put: (document, revision) => change("PUT", document, revision),
    patch,
    mute: (path, value, until) =>
      change("POST", { path, value, ...(until && { until: until.toISOString() }) }, undefined, "/mute"),
    unmute: (path, value) => change("POST", { path, value }, undefined, "/unmute"),
    pause: (until) => patch({ paused_until: until?.toISOString() ?? null }),
    explain: ({ payload, ...message }) => {
      const query = new URLSearchParams({ ...message, ...(payload && { payload: JSON.stringify(payload) }) });
      return read(`${PATH}/explain?${query}`);
    },
    link: () => client.call({ method: "POST", path: `${PATH}/link`, body: {}, retries: RETRIES }),
  };
}
