/**
 * Buttons of a message: what a person can do about it, one of them, once.
 *
 *     import { press } from "@clarion/client/actions";
 *     const error = await press(client, message, "accept");
 *
 * Pressing is to read the message. All tabs learn of it by the inbox's topic: `message.done` says which it was.
 */

import type { Client } from "./client.ts";
import { asError, type ClarionError } from "./errors.ts";
import type { Message } from "./wire.ts";

/** Presses a button; returns why it could not be: `conflict` where another one was pressed before. */
export async function press(client: Client, message: Message, button: string): Promise<ClarionError | null> {
  const path = `/v1/inbox/${encodeURIComponent(message.id)}/actions/${encodeURIComponent(button)}`;
  try {
    // Twice is once, so it may be repeated.
    await client.call({ method: "POST", path, retries: 1 });
    return null;
  } catch (thrown) {
    return asError(thrown);
  }
}
