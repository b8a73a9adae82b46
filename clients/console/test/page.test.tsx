/** The page's promises to people who read it with a screen reader, by keyboard, or on a bad day. */

import { createClient, createStore } from "@clarion/client";
import { act, StrictMode } from "react";
import { createRoot, type Root } from "react-dom/client";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FakeServer, settle, token } from "../../client/test/support/server.ts";
import { Announcer } from "../src/announcer.tsx";
import { Bell } from "../src/bell.tsx";
import { ConnectionBanner, ConnectionPill } from "../src/connection-state.tsx";
import { InboxPanel } from "../src/inbox-panel.tsx";
import { SendForm } from "../src/send-form.tsx";
import { Toasts } from "../src/toasts.tsx";

vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);

let root: Root;
let answer: () => Response;

beforeEach(() => {
  vi.useFakeTimers();
  document.body.innerHTML = '<div id="root"></div>';
  answer = () => Response.json({});
});

afterEach(async () => {
  await act(async () => root.unmount());
  vi.useRealTimers();
});

async function show(server: FakeServer, onClose = vi.fn(), onOpen = vi.fn()) {
  const sent: RequestInit[] = [];
  const client = createClient({
    getToken: () => token("ann"),
    openSocket: server.open,
    fetch: ((_url: unknown, init: RequestInit) => {
      sent.push(init);
      return Promise.resolve(answer());
    }) as typeof fetch,
  });
  const said = createStore("");
  const container = document.getElementById("root");
  if (!container) throw new Error("no #root");
  root = createRoot(container);
  await act(async () => {
    root.render(
      <StrictMode>
        <Bell inbox={client.inbox} isOpen={true} ref={null} onToggle={() => undefined} />
        <ConnectionPill connection={client.connection} />
        <ConnectionBanner connection={client.connection} />
        <InboxPanel client={client} inbox={client.inbox} onClose={onClose} announce={said.set} />
        <SendForm client={client} user={{ id: "ann", name: null }} announce={() => undefined} />
        <Toasts inbox={client.inbox} onOpen={onOpen} />
        <Announcer client={client} said={said} />
      </StrictMode>,
    );
    await settle();
  });
  return { client, sent, onClose };
}

const all = (id: string) => [...document.querySelectorAll<HTMLElement>(`[data-testid="${id}"]`)];
const one = (id: string) => all(id)[0] ?? document.createElement("i");
const during = (change: () => void, ms = 0) =>
  act(async () => {
    change();
    await vi.advanceTimersByTimeAsync(ms);
  });
const click = (element: HTMLElement | undefined) => during(() => element?.click());

test("the bell says in words how much is unread", async () => {
  const server = new FakeServer();
  await show(server);
  expect(one("bell").getAttribute("aria-label")).toBe("Notifications, none unread");
  expect(all("unread-count")).toEqual([]);
  await during(() => server.send(server.inbox.add()));
  expect(one("bell").getAttribute("aria-label")).toBe("Notifications, 1 unread");
  expect(one("unread-count").textContent).toBe("1");
});

test("mounted twice by StrictMode, it subscribes once", async () => {
  const server = new FakeServer();
  await show(server);
  await during(() => undefined, 3_000);
  expect(server.requests.map(({ name }) => name)).toEqual(["subscribe"]);
});

test("the text of a notification is text, and a link of it leads nowhere strange", async () => {
  const server = new FakeServer();
  server.inbox.add("<img src=x onerror=alert(1)>");
  const [message] = server.inbox.messages;
  if (message) server.inbox.messages = [{ ...message, action_url: "javascript:alert(1)", body: "<b>bold</b>" }];
  await show(server);
  expect(one("inbox-item").textContent).toContain("<img src=x onerror=alert(1)>");
  expect(one("inbox-item").textContent).toContain("<b>bold</b>");
  expect(document.querySelectorAll("img, b, .item a")).toHaveLength(0);
});

test("unread is said in words, and marking keeps the name of what is marked", async () => {
  const server = new FakeServer();
  server.inbox.add("Invoice paid");
  await show(server);
  expect(one("inbox-item").querySelector("h3")?.textContent).toBe("Unread: Invoice paid");
  expect(one("mark-read").getAttribute("aria-label")).toBe("Mark as read: Invoice paid");
  await click(one("mark-read"));
  expect(one("inbox-item").querySelector("h3")?.textContent).toBe("Invoice paid");
  expect(one("mark-unread").getAttribute("aria-label")).toBe("Mark as unread: Invoice paid");
  expect(all("mark-all-read")).toEqual([]);
});

test("the feed says which of how many an article is; Page Down goes to the next", async () => {
  const server = new FakeServer();
  server.inbox.add("first");
  server.inbox.add("second");
  await show(server);
  const [newest, oldest] = all("inbox-item");
  expect(oldest?.getAttribute("aria-posinset")).toBe("2");
  expect(oldest?.getAttribute("aria-setsize")).toBe("2");
  newest?.focus();
  await during(() => newest?.dispatchEvent(new KeyboardEvent("keydown", { key: "PageDown", bubbles: true })));
  expect(document.activeElement).toBe(oldest);
});

test("Escape closes the panel", async () => {
  const { onClose } = await show(new FakeServer());
  await during(() => one("inbox").dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true })));
  expect(onClose).toHaveBeenCalledOnce();
});

test("archived can be undone for a while, and the keyboard stays in the panel", async () => {
  const server = new FakeServer();
  server.inbox.add();
  await show(server);
  await click(one("archive"));
  expect(all("inbox-item")).toHaveLength(0);
  expect(one("empty").textContent).toContain("all caught up");
  expect(document.activeElement?.id).toBe("inbox-title");
  await click(one("undo"));
  expect(all("inbox-item")).toHaveLength(1);
  await click(one("archive"));
  await during(() => undefined, 9_000);
  expect(all("undo")).toHaveLength(0);
});

test("the one live region is there from the start, and tells several arrivals in one sentence", async () => {
  const server = new FakeServer();
  await show(server);
  expect(document.querySelectorAll("[role=status], [aria-live]")).toHaveLength(1);
  expect(one("announcer").textContent).toBe("");
  await during(() => {
    server.send(server.inbox.add("one"));
    server.send(server.inbox.add("two"));
  }, 700);
  expect(one("announcer").textContent).toBe("2 new notifications");
  await during(() => undefined, 6_000);
  await during(() => server.send(server.inbox.add("three")), 700);
  expect(one("announcer").textContent).toBe("New notification: three");
});

test("a short break is shown but not told; a long one is, and so is its end", async () => {
  const server = new FakeServer();
  await show(server);
  expect(one("connection-state").textContent).toBe("Connection: Live");
  server.refuse = () => "unreachable";
  await during(() => server.break(), 100);
  expect(one("connection-state").dataset["status"]).toBe("reconnecting");
  expect(one("announcer").textContent).toBe("");
  await during(() => undefined, 4_000);
  expect(one("announcer").textContent).toBe("Connection lost, trying again");
  server.refuse = () => null;
  await during(() => undefined, 30_000);
  expect(one("connection-state").dataset["status"]).toBe("live");
  expect(one("announcer").textContent).toBe("Connected again");
});

test("a connection that the server ended for good says why, and can be tried again", async () => {
  const server = new FakeServer();
  server.refuse = () => ({ code: "forbidden", message: "Too many tabs" });
  await show(server);
  const banner = document.querySelector<HTMLElement>(".banner");
  expect(banner?.textContent).toContain("Too many tabs");
  server.refuse = () => null;
  await click(banner?.querySelector("button") ?? undefined);
  expect(one("connection-state").dataset["status"]).toBe("live");
});

test("toasts go by themselves, wait while somebody is at them, and never pile up", async () => {
  const server = new FakeServer();
  await show(server);
  await during(() => {
    for (let n = 1; n <= 5; n++) server.send(server.inbox.add(`n${n}`));
  });
  expect(all("toast").map((toast) => toast.querySelector(".item-title")?.textContent)).toEqual(["n3", "n4", "n5"]);
  expect(document.querySelector(".toast-more")?.textContent).toBe("2 more");
  const button = one("toast").querySelector("button");
  await during(() => button?.focus());
  await during(() => undefined, 20_000);
  expect(all("toast")).toHaveLength(3);
  await during(() => button?.blur());
  await during(() => undefined, 20_000);
  expect(all("toast")).toHaveLength(0);
});

test("a form that was refused says where it is wrong, and sends again with the same key until something changes", async () => {
  const fault = { pointer: "/recipients/0", detail: "ben is not known" };
  answer = () => Response.json({ code: "invalid", detail: "unknown", errors: [fault] }, { status: 422 });
  const { sent } = await show(new FakeServer());
  const fill = (id: string, value: string) =>
    during(() => {
      const input = one(id) as HTMLInputElement;
      input.value = value;
      input.dispatchEvent(new Event("input", { bubbles: true }));
    });
  await fill("title", "Hello");
  await click(one("send"));
  expect(one("to").getAttribute("aria-invalid")).toBe("true");
  expect(document.body.textContent).toContain("ben is not known");
  answer = () => Response.json({ recipients: 1, created_at: "2026-01-01T00:00:00Z" }, { status: 202 });
  await click(one("send"));
  expect(one("send-result").textContent).toContain("Sent to 1 person");
  expect((one("title") as HTMLInputElement).value).toBe("");
  await fill("title", "Another");
  await click(one("send"));
  const keys = sent.map((init) => (init.headers as Record<string, string>)["idempotency-key"]);
  expect(keys).toHaveLength(3);
  expect(keys[0]).toBe(keys[1]);
  expect(keys[2]).not.toBe(keys[1]);
});
