/**
 * What a person did, told by their own client: for counts, dashboards, and workflows that wait for it.
 *
 *     import { track } from "@clarion/client/track";
 *     await track(client, "page.viewed", { path: location.pathname });
 *
 * The names that clients may tell are a setting of the server (`events.from_clients`: `page.*`, `ui.*`).
 */

import type { Client } from "./client.ts";
import { newKey } from "./keys.ts";

/** After a break, or of a busy server: half a minute, on average. */
const RETRIES = 6;

export interface TrackOptions {
  /** Names the event: told again, it counts once. By default each call is one, however often it has to be repeated. */
  readonly id?: string;
  /** When it happened; default: now. */
  readonly at?: Date;
  /** False: it is counted, and neither who it was nor the properties are kept. */
  readonly consent?: boolean;
}

/** Tells what the person did whose token the client has; settles when it is on the server's disk. Needs no connection yet. */
export async function track(
  client: Client,
  event: string,
  properties: Readonly<Record<string, unknown>> = {},
  { id = newKey(), at, consent = true }: TrackOptions = {},
): Promise<void> {
  const told = { event, properties, id, consent, ...(at && { at: at.toISOString() }) };
  await client.call({ method: "POST", path: "/v1/events", body: { events: [told] }, retries: RETRIES });
}
