/**
 * What a person has had before their eyes: an element that shows a message, on the screen, in a page that is in front.
 *
 *     import { watchSeen } from "@clarion/client/seen";
 *     const stop = watchSeen(client, element, message);
 *
 * A page in the background, or a list that is scrolled away, shows nothing: an open tab alone has nothing seen.
 */

import type { Client } from "./client.ts";
import { asError, type ClarionError } from "./errors.ts";
import type { Message } from "./wire.ts";

/** So long it has to be there (ms): what is scrolled past was not looked at. */
export const DWELL_MS = 800;

/** Marks the message as seen once it has been on the screen for a moment; returns how to stop. */
export function watchSeen(client: Client, element: Element, message: Message): () => void {
  if (message.seen_at || message.read_at !== null) return () => undefined;
  let isOnScreen = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const look = () => {
    clearTimeout(timer);
    if (isOnScreen && document.visibilityState === "visible") {
      timer = setTimeout(() => {
        stop();
        gather(client, message);
      }, DWELL_MS);
    }
  };
  const observer = new IntersectionObserver(
    (entries) => {
      isOnScreen = entries.slice(-1).some(isShown);
      look();
    },
    { threshold: SHARES },
  );
  observer.observe(element);
  document.addEventListener("visibilitychange", look);
  const stop = () => {
    clearTimeout(timer);
    observer.disconnect();
    document.removeEventListener("visibilitychange", look);
  };
  return stop;
}

/** Shares of an element of which it is told that so much is there: between half a screen and a whole one is always one of these. */
const SHARES = [1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2];

/** Half of it is there, or it takes half of the screen: of what is longer than two screens there is never half. */
function isShown({ intersectionRatio, intersectionRect, rootBounds }: IntersectionObserverEntry): boolean {
  return intersectionRatio >= 0.5 || (rootBounds !== null && intersectionRect.height >= rootBounds.height / 2);
}

/** What the server takes in one call. */
const AT_ONCE = 100;
/** After a break, or of a busy server: half a minute, on average. */
const RETRIES = 6;
const gathered = new Map<Client, string[]>();

/** Those that are seen in one moment are told in one call. */
function gather(client: Client, message: Message): void {
  const waiting = gathered.get(client);
  if (waiting && waiting.length < AT_ONCE) {
    waiting.push(message.id);
    return;
  }
  const ids = [message.id];
  gathered.set(client, ids);
  setTimeout(() => {
    if (gathered.get(client) === ids) gathered.delete(client);
    void markSeen(client, ids);
  }, 0);
}

/** Says that messages have been on the screen: less than read, and enough for a workflow not to send them by other ways. */
export async function markSeen(client: Client, ids: readonly string[]): Promise<ClarionError | null> {
  try {
    await client.call({ method: "POST", path: "/v1/inbox/seen", body: { ids }, retries: RETRIES });
    return null;
  } catch (thrown) {
    return asError(thrown);
  }
}
