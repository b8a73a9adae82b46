// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Client } from "../src/client.ts";
import { DWELL_MS, watchSeen } from "../src/seen.ts";
import type { Message } from "../src/wire.ts";

const message = (id: string, more: Partial<Message> = {}): Message => ({
  id,
  seq: 1,
  notification_id: "n",
  title: "Hello",
  body: "",
  data: null,
  action_url: null,
  created_at: "",
  read_at: null,
  archived_at: null,
  ...more,
});

/** How an element of a height (px) shows so much of itself, on a screen of 800 px. */
let show: ((shown: number, height?: number) => void)[] = [];
let visibility: DocumentVisibilityState = "visible";

beforeEach(() => {
  vi.useFakeTimers();
  show = [];
  visibility = "visible";
  vi.spyOn(document, "visibilityState", "get").mockImplementation(() => visibility);
  vi.stubGlobal(
    "IntersectionObserver",
    class {
      constructor(told: (entries: object[]) => void) {
        show.push((shown, height = 100) =>
          told([
            {
              intersectionRatio: shown / height,
              intersectionRect: { height: shown },
              rootBounds: { height: 800 },
            },
          ]),
        );
      }
      observe() {}
      disconnect() {}
    },
  );
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function watched(...messages: Message[]) {
  const call = vi.fn().mockResolvedValue(null);
  const client = { call } as unknown as Client;
  const stops = messages.map((each) => watchSeen(client, document.createElement("div"), each));
  return { call, stops };
}

test("what has been on the screen for a moment is seen, told together and once", () => {
  const { call } = watched(message("1"), message("2"));
  for (const each of show) each(50);
  vi.advanceTimersByTime(DWELL_MS - 1);
  expect(call).not.toHaveBeenCalled();
  vi.advanceTimersByTime(2);
  vi.advanceTimersByTime(2 * DWELL_MS);
  expect(call).toHaveBeenCalledTimes(1);
  expect(call.mock.calls[0]).toMatchObject([{ method: "POST", path: "/v1/inbox/seen", body: { ids: ["1", "2"] } }]);
});

test("a page in the background has nothing seen until it comes to the front", () => {
  visibility = "hidden";
  const { call } = watched(message("1"));
  show[0]?.(100);
  vi.advanceTimersByTime(10 * DWELL_MS);
  expect(call).not.toHaveBeenCalled();
  visibility = "visible";
  document.dispatchEvent(new Event("visibilitychange"));
  vi.advanceTimersByTime(DWELL_MS + 1);
  expect(call).toHaveBeenCalledTimes(1);
});

test("what is scrolled past, no longer watched, or seen already is not told", () => {
  const { call, stops } = watched(message("1"), message("2"), message("3", { seen_at: "2026-01-01T00:00:00Z" }));
  show[0]?.(100);
  vi.advanceTimersByTime(DWELL_MS / 2);
  show[0]?.(49);
  show[1]?.(100);
  stops[1]?.();
  vi.advanceTimersByTime(10 * DWELL_MS);
  expect(call).not.toHaveBeenCalled();
  expect(show).toHaveLength(2);
});

test("what is longer than two screens is seen once it takes half of one", () => {
  const { call } = watched(message("1"));
  show[0]?.(399, 4_000);
  vi.advanceTimersByTime(10 * DWELL_MS);
  expect(call).not.toHaveBeenCalled();
  show[0]?.(400, 4_000);
  vi.advanceTimersByTime(DWELL_MS + 1);
  expect(call).toHaveBeenCalledTimes(1);
});
