/** What a person can do with a message on the page, while it is on its way and when it is refused. */

import { createClient } from "@clarion/client";
import { act } from "react";
import { createRoot, type Root } from "react-dom/client";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FakeServer, settle, token } from "../../client/test/support/server.ts";
import { InboxPanel } from "../src/inbox-panel.tsx";

vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);

let root: Root;
let answers: ((response: Response) => void)[];
let asked: string[];
let said: string[];

beforeEach(() => {
  document.body.innerHTML = '<div id="root"></div>';
  answers = [];
  asked = [];
  said = [];
});

afterEach(async () => {
  await act(async () => root.unmount());
});

async function show(server: FakeServer, onClose = vi.fn()) {
  const client = createClient({
    getToken: () => token("ann"),
    openSocket: server.open,
    fetch: ((url: unknown) => {
      asked.push(String(url));
      return new Promise<Response>((resolve) => answers.push(resolve));
    }) as typeof fetch,
  });
  root = createRoot(document.getElementById("root") as HTMLElement);
  await act(async () => {
    root.render(
      <InboxPanel client={client} inbox={client.inbox} onClose={onClose} announce={(text) => said.push(text)} />,
    );
    await settle();
  });
}

function invitation(url?: string): FakeServer {
  const server = new FakeServer();
  server.inbox.add("Invitation");
  const actions = [
    { id: "yes", label: "Accept", style: "primary" as const, ...(url && { url }) },
    { id: "no", label: "Decline" },
  ];
  server.inbox.messages = server.inbox.messages.map((message) => ({ ...message, actions }));
  return server;
}

const one = (id: string) => document.querySelector<HTMLElement>(`[data-testid="${id}"]`);
const click = (id: string) =>
  act(async () => {
    one(id)?.click();
    await settle();
  });
const reply = (status: number, body: object = {}) =>
  act(async () => {
    answers.shift()?.(Response.json(body, { status }));
    await settle();
  });

test("a button is pressed once, says that it waits, and then which it was", async () => {
  await show(invitation());
  await click("press-yes");
  await click("press-no");
  expect(asked).toEqual(["/v1/inbox/m1/actions/yes"]);
  expect(one("press-yes")?.getAttribute("aria-busy")).toBe("true");
  expect(one("press-no")?.getAttribute("aria-disabled")).toBe("true");
  await reply(200);
  expect(one("done")?.textContent).toBe("Answered: Accept");
  expect(one("press-no")).toBeNull();
  expect(document.activeElement).toBe(one("inbox-item"));
  expect(said).toEqual(["Accept: done"]);
});

test("what was refused is said, and may be tried again", async () => {
  await show(invitation());
  await click("press-yes");
  await reply(403, { code: "forbidden", detail: "not you" });
  expect(document.querySelector(".item [role=alert]")?.textContent).toBe("Not sent: not you");
  await click("press-no");
  expect(document.querySelector(".item [role=alert]")).toBeNull();
  await reply(409, { code: "conflict", detail: "'yes' was done already" });
  expect(document.querySelector(".item [role=alert]")?.textContent).toContain("answered already");
});

test("a button that leads somewhere strange leads nowhere, and is a button", async () => {
  await show(invitation("javascript:alert(1)"));
  expect(one("press-yes")?.tagName).toBe("BUTTON");
});

test("a button that leads to another site opens beside the page", async () => {
  await show(invitation("https://other.example/x"));
  const link = one("press-yes");
  expect([link?.tagName, link?.getAttribute("target"), link?.getAttribute("rel")]).toEqual([
    "A",
    "_blank",
    "noreferrer noopener",
  ]);
});

test("what is put off is listed with its time, and can be brought back", async () => {
  await show(invitation());
  await click("show-snoozed");
  expect(document.getElementById("inbox-title")?.textContent).toBe("Snoozed");
  const items = [{ id: "m9", seq: 1, title: "Later", snoozed_until: "2026-03-10T08:00:00Z", read_at: null }];
  await reply(200, { items });
  expect(asked).toEqual(["/v1/inbox?filter=snoozed&limit=100"]);
  expect(one("snoozed-item")?.textContent).toContain("2026");
  await click("bring-back");
  await reply(404, { code: "not_found", detail: "no such message" });
  expect(document.querySelector("[role=alert]")?.textContent).toContain("Not brought back");
  await click("bring-back");
  await reply(200);
  expect(one("snoozed-item")).toBeNull();
  expect(one("snoozed")?.textContent).toContain("Nothing is snoozed");
  expect(document.activeElement?.id).toBe("inbox-title");
  await click("show-snoozed");
  expect(one("inbox-item")).not.toBeNull();
});

test("what could not be snoozed stays, with the reason; Escape closes the choice and not the panel", async () => {
  const onClose = vi.fn();
  await show(invitation(), onClose);
  await click("snooze");
  const first = one("later");
  expect(document.activeElement).toBe(first);
  await click("later");
  await reply(422, { code: "invalid", detail: "until: has passed" });
  expect(document.querySelector(".item [role=alert]")?.textContent).toBe("Not snoozed: until: has passed");
  await act(async () => first?.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true })));
  expect(one("later")).toBeNull();
  expect(document.activeElement).toBe(one("snooze"));
  expect(onClose).not.toHaveBeenCalled();
});
