// Clarion's service worker for push messages: shows them, opens what a click leads to, and tells the server of both.
//
// Pages of the server's own origin register it as it is (`push(client).subscribe()` does). On another origin, where a browser takes
// no worker from elsewhere, the application serves one of its own that says: importScripts("https://clarion.example/v1/push/worker.js").
// docs/how-to/push-messages.md has the payload.
"use strict";
(() => {
  // What the page has left for the worker: { url: the server, renewal: what stands for the subscription }.
  const STORE = "clarion-push";
  const KEY = "/clarion-push";

  async function known() {
    const kept = await (await caches.open(STORE)).match(KEY);
    return kept ? kept.json() : {};
  }

  async function call(path, body) {
    const { url = "" } = await known();
    return fetch(url + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      keepalive: true,
    });
  }

  // Nothing that is shown or opened waits for a report, or fails with one.
  async function report(data, event) {
    if (!data.report) return;
    try {
      await call("/v1/push/reports", { report: data.report, event });
    } catch (error) {
      console.warn("clarion: not reported", event, error);
    }
  }

  function read(event) {
    try {
      return event.data.json();
    } catch {
      // From somebody else, or for a former version: browsers want something to be shown.
      return { title: event.data ? event.data.text() : "New message" };
    }
  }

  async function show(message) {
    const { title, body, icon, image, tag, renotify, actions = [], badge } = message;
    const options = { data: message };
    for (const [name, value] of Object.entries({ body, icon, image, tag })) if (value) options[name] = value;
    if (tag && renotify) options.renotify = true;
    if (actions.length) options.actions = actions.map(({ action, title, icon }) => ({ action, title, ...(icon && { icon }) }));
    await self.registration.showNotification(title, options);
    if (badge !== undefined && self.navigator.setAppBadge) await self.navigator.setAppBadge(badge).catch(() => undefined);
  }

  async function open(url) {
    const target = new URL(url || "/", self.location.origin);
    // A message must not run a script in the page.
    if (target.protocol !== "https:" && target.protocol !== "http:") return;
    const pages = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
    const page = pages.find((each) => each.url === target.href);
    if (page) await page.focus();
    else await self.clients.openWindow(target.href);
  }

  async function renew(former) {
    const { renewal } = await known();
    if (!renewal) return;
    const options = former?.options ?? { userVisibleOnly: true, applicationServerKey: await serverKey() };
    const next = (await self.registration.pushManager.getSubscription()) ?? (await self.registration.pushManager.subscribe(options));
    const answer = await call("/v1/push/renewals", { renewal, subscription: next.toJSON() });
    if (!answer.ok) throw new Error(`clarion: not renewed: ${answer.status}`);
    const put = await answer.json();
    const kept = { ...(await known()), id: put.id, renewal: put.renewal };
    await (await caches.open(STORE)).put(KEY, new Response(JSON.stringify(kept)));
  }

  async function serverKey() {
    const { url = "" } = await known();
    return (await (await fetch(`${url}/v1/push/key`)).json()).key;
  }

  // Imported into an application's own worker, when that takes over is the application's to say.
  if (self.location.pathname.endsWith("/v1/push/worker.js")) {
    self.addEventListener("install", () => self.skipWaiting());
    self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
  }
  self.addEventListener("push", (event) => {
    const message = read(event);
    event.waitUntil(show(message).then(() => report(message, "delivered")));
  });
  self.addEventListener("notificationclick", (event) => {
    const message = event.notification.data ?? {};
    event.notification.close();
    const action = message.actions?.find((each) => each.action === event.action);
    event.waitUntil(Promise.all([open(action?.url || message.url), report(message, "clicked")]));
  });
  self.addEventListener("pushsubscriptionchange", (event) => event.waitUntil(renew(event.oldSubscription)));
})();
