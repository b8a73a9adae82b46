/**
 * Nobody is at the page: no input for some minutes, or it is in the background. Told to presence, so that an open tab does not keep messages away from a phone.
 *
 *     import { watchIdle } from "@clarion/client/idle";
 *     const stop = watchIdle(contacts(client, user));
 *
 * A user who is active in another tab, or on another device, is online by that one.
 */

import type { People } from "./presence.ts";

const INPUT = ["pointerdown", "pointermove", "keydown", "wheel", "touchstart", "scroll"] as const;

/** Without any input for so long a person is not there any more (s). */
export const IDLE_S = 300;
/** After a refusal it is told again so much later (ms). */
const AGAIN_MS = 30_000;

export interface IdleOptions {
  /** Seconds without input; default: 300. */
  readonly after?: number;
}

/**
 * Says `idle` while nobody is at the page, and what was said before once somebody is; who has said `away` or `dnd` stays that.
 *
 * @param people Where it is said: `contacts(client, user)` for all that ask who is online, or a room. It is watched until the end.
 * @returns How to stop; somebody is at it from then on.
 */
export function watchIdle(people: People, { after = IDLE_S }: IdleOptions = {}): () => void {
  let isIdle = false;
  let lastInput = Date.now();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let told = false;
  let isTelling = false;
  let isOver = false;

  /** One after the other: what is told last is how it is. */
  const tell = async () => {
    if (isTelling) return;
    isTelling = true;
    while (told !== isIdle) {
      const wanted = isIdle;
      try {
        await people.setIdle(wanted);
        told = wanted;
      } catch {
        if (isOver) break;
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    }
    isTelling = false;
  };
  const look = () => {
    clearTimeout(timer);
    const left = lastInput + after * 1_000 - Date.now();
    const isHidden = document.visibilityState === "hidden";
    isIdle = isHidden || left <= 0;
    if (!isIdle) timer = setTimeout(look, left);
    void tell();
  };
  const input = () => {
    lastInput = Date.now();
    if (isIdle) look();
  };
  /** Whoever brings a page to the front is there. */
  const turned = () => {
    lastInput = Date.now();
    look();
  };

  const stopWatching = people.subscribe(() => undefined);
  for (const event of INPUT) document.addEventListener(event, input, { capture: true, passive: true });
  document.addEventListener("visibilitychange", turned);
  look();
  return () => {
    clearTimeout(timer);
    for (const event of INPUT) document.removeEventListener(event, input, { capture: true });
    document.removeEventListener("visibilitychange", turned);
    isIdle = false;
    isOver = true;
    void tell();
    stopWatching();
  };
}
