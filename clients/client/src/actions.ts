/**
 * What a person can do about a message beside reading it and putting it away: press a button of it (one, once), keep it on
 * top, put it off.
 *
 *     import { press, snooze } from "@clarion/client/actions";
 *     const error = await press(client, message, "accept");
 *
 * Pressing is to read the message. All tabs learn of it by the inbox's topic: `message.done` says which it was.
 */

import type { Client } from "./client.ts";
import { asError, type ClarionError } from "./errors.ts";
import type { Message } from "./wire.ts";

/** Presses a button; returns why it could not be: `conflict` where another one was pressed before. */
export function press(client: Client, message: Message, button: string): Promise<ClarionError | null> {
  return act(client, message, `actions/${encodeURIComponent(button)}`);
}

/** Keeps a message on top, on all devices; or (`isOn` false) no longer. */
export function pin(client: Client, message: Message, isOn = true): Promise<ClarionError | null> {
  return act(client, message, isOn ? "pin" : "unpin");
}

/** Puts a message off until a time, by 366 days at most: then it is back, unread and as the newest. */
export function snooze(client: Client, message: Message, until: Date): Promise<ClarionError | null> {
  return act(client, message, "snooze", { until: until.toISOString() });
}

/** Brings a message back before its time, to its old place and as it was. */
export function unsnooze(client: Client, message: Message): Promise<ClarionError | null> {
  return act(client, message, "unsnooze");
}

async function act(client: Client, { id }: Message, what: string, body?: object): Promise<ClarionError | null> {
  const path = `/v1/inbox/${encodeURIComponent(id)}/${what}`;
  try {
    // Twice is once, so it may be repeated.
    await client.call({ method: "POST", path, retries: 1, ...(body && { body }) });
    return null;
  } catch (thrown) {
    return asError(thrown);
  }
}
