/** The page of captured messages: what it shows, and what it must not run. */

import { createClient } from "@clarion/client";
import { act, StrictMode } from "react";
import { createRoot, type Root } from "react-dom/client";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FakeServer, settle, token } from "../../client/test/support/server.ts";
import { type Capture, type CapturePage, Captures } from "../src/captures.tsx";

vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);

const EMAIL: Capture = {
  id: "2",
  channel: "email",
  user: "ann",
  address: "ann@example.com",
  workflow: "welcome",
  message: "r.0.0",
  content: { subject: "Welcome <b>Ann</b>", html: "<script>alert(1)</script>", text: "Hello", tags: ["a"] },
  html_url: "/v1/captures/2/html?signature=s",
  at: "2026-11-26T08:00:00Z",
};
const SMS: Capture = { ...EMAIL, id: "1", channel: "sms", content: { text: "Your code is 7" }, html_url: null };

let root: Root;
let calls: string[];
let pages: Record<string, CapturePage | Capture | object>;

beforeEach(() => {
  vi.useFakeTimers();
  document.body.innerHTML = '<div id="root"></div>';
  calls = [];
  pages = { "/v1/captures?limit=50": { mode: "capture", items: [EMAIL, SMS], next: null }, "/v1/captures/2": EMAIL };
});

afterEach(async () => {
  await act(async () => root.unmount());
  vi.useRealTimers();
  vi.restoreAllMocks();
});

async function show() {
  const client = createClient({
    getToken: () => token("ann"),
    openSocket: new FakeServer().open,
    fetch: ((url: string, init: RequestInit) => {
      calls.push(`${init.method} ${url}`);
      const found = pages[url];
      return Promise.resolve(found ? Response.json(found) : Response.json({ code: "forbidden" }, { status: 403 }));
    }) as typeof fetch,
  });
  const container = document.getElementById("root");
  if (!container) throw new Error("no #root");
  root = createRoot(container);
  await act(async () => {
    root.render(
      <StrictMode>
        <Captures client={client} />
      </StrictMode>,
    );
    await settle();
  });
}

const all = (id: string) => [...document.querySelectorAll<HTMLElement>(`[data-testid="${id}"]`)];
const click = (element: HTMLElement | null | undefined) =>
  act(async () => {
    element?.click();
    await vi.advanceTimersByTimeAsync(0);
  });

test("it says what the server does with messages, and lists them by what they say", async () => {
  await show();
  expect(document.body.textContent).toContain("Nothing leaves this server");
  expect(all("capture").map((each) => each.querySelector(".captures-what")?.textContent)).toEqual([
    "Welcome <b>Ann</b>",
    "Your code is 7",
  ]);
});

test("an email is shown in a frame that may do nothing, and its texts as text", async () => {
  // The test's browser loads no pages into frames, and says so each time.
  vi.spyOn(console, "error").mockImplementation(() => undefined);
  await show();
  await click(all("capture")[0]);
  const frame = document.querySelector("iframe");
  expect(frame?.getAttribute("sandbox")).toBe("");
  expect(frame?.getAttribute("src")).toBe("/v1/captures/2/html?signature=s");
  expect(document.querySelectorAll("script, .captures-detail b")).toHaveLength(0);
  expect([...document.querySelectorAll(".captures-part h3")].map((each) => each.textContent)).toEqual(["text", "tags"]);
  expect(document.activeElement?.textContent).toBe("Welcome <b>Ann</b>");
  expect(all("capture")[0]?.getAttribute("aria-current")).toBe("true");
});

test("one that is gone meanwhile says so, and there is a way back", async () => {
  await show();
  await click(all("capture")[1]);
  expect(all("capture-detail")[0]?.textContent).toContain("It is not there any more.");
  await click(document.querySelector<HTMLElement>(".captures-back"));
  expect(all("capture-detail")).toHaveLength(0);
});

test("whoever may not see them is told", async () => {
  pages = {};
  await show();
  expect(document.querySelector("[role=alert]")?.textContent).toBe("You may not see what was kept.");
});

test("older ones come behind, each once, and clearing forgets them all", async () => {
  pages["/v1/captures?limit=50"] = { mode: "capture", items: [EMAIL], next: "2" };
  pages["/v1/captures?limit=50&before=2"] = { mode: "capture", items: [SMS], next: null };
  await show();
  await click(document.querySelector<HTMLElement>(".captures-list .wide"));
  expect(all("capture")).toHaveLength(2);
  expect(document.querySelector(".captures-list .wide")).toBeNull();
  pages["/v1/captures"] = { captures: 2 };
  pages["/v1/captures?limit=50"] = { mode: "capture", items: [], next: null };
  await click(all("clear-captures")[0]);
  expect(calls).toContain("DELETE /v1/captures");
  expect(document.body.textContent).toContain("Nothing yet.");
  expect(document.activeElement?.id).toBe("captures-title");
});
