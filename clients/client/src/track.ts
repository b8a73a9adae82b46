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

export interface TrackOptions {
  /** Names the event: told again, it counts once. By default each call is one, however often it has to be repeated. */
  readonly id?: string;
  /** When it happened; default: now. */
  readonly at?: Date;
  /** False: it is counted, and neither who it was nor the properties are kept. */
  readonly consent?: boolean;
}

/** Tells what the signed-in person did; settles when it is on the server's disk. Rejects while nobody is signed in. */
export async function track(
  client: Client,
  event: string,
  properties: Readonly<Record<string, unknown>> = {},
  { id = newKey(), at, consent = true }: TrackOptions = {},
): Promise<void> {
  const user = client.connection.user;
  if (user === null) throw new Error("nobody is signed in yet");
  const data = { properties, consent, ...(at && { at: at.toISOString() }) };
  await client.topic(`events:${user}`).publish(event, data, { id });
}
