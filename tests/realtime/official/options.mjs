// What the official client's options come to, one JSON line a fact: node options.mjs URL URL_OF_A_SERVER_WITH_POLLING_ALONE
import { createRequire } from "node:module";

const require = createRequire(new URL("../../../clients/", import.meta.url));
const { io } = require("socket.io-client");

const [url, pollingUrl] = process.argv.slice(2);
const tell = (fact, value) => console.log(JSON.stringify({ fact, value }));
const once = (emitter, event) => new Promise((resolve) => emitter.once(event, (...args) => resolve(args)));
const transport = (socket) => socket.io.engine.transport.name;

async function connected(options, to = url) {
  const socket = io(to, { forceNew: true, ...options });
  await once(socket, "connect");
  return socket;
}

// ── transports ──
const stays = await connected({ upgrade: false });
tell("upgrade: false", [transport(stays), await stays.emitWithAck("echo", 1), transport(stays)]);
stays.disconnect();

const falls = await connected({ transports: ["websocket", "polling"], tryAllTransports: true }, pollingUrl);
tell("tryAllTransports", [transport(falls), await falls.emitWithAck("echo", 1)]);
falls.disconnect();

const first = await connected({ rememberUpgrade: true });
if (transport(first) !== "websocket") await once(first.io.engine, "upgrade");
first.disconnect();
const second = await connected({ rememberUpgrade: true });
tell("rememberUpgrade", transport(second));
second.disconnect();

const base64 = await connected({ transports: ["websocket"], forceBase64: true });
tell("forceBase64", [...(await base64.emitWithAck("echo", new Uint8Array([1, 2, 3])))]);
base64.disconnect();

const plain = await connected({ timestampRequests: false, query: { a: "é" }, extraHeaders: { "x-a": "b" } });
tell("query and headers", await plain.emitWithAck("shaken"));
plain.disconnect();

// ── namespaces ──
const a = io(url);
const b = io(`${url}/admin`, { auth: (done) => setTimeout(() => done({ token: "secret" }), 5) });
const c = io(url, { multiplex: false });
await Promise.all([a, b, c].map((socket) => once(socket, "connect")));
tell("multiplex", [a.io === b.io, a.io === c.io, new Set([a.id, b.id, c.id]).size]);
tell("auth as a function", await b.emitWithAck("whoami"));
c.disconnect();
b.disconnect();

// ── delivery ──
tell("timeout", await a.timeout(100).emitWithAck("silent").catch((error) => error.message));
tell("compress", await a.compress(false).emitWithAck("echo", "x".repeat(5000)).then((text) => text.length));
tell("nested binary", await a.emitWithAck("echo", { a: [{ b: Buffer.from("é") }, new Uint8Array(2).buffer] }).then((value) => [
  value.a[0].b.toString(), value.a[1].length,
]));

const retrying = await connected({ retries: 3, ackTimeout: 150 });
const answers = await Promise.all([retrying.emitWithAck("third time", "x"), retrying.emitWithAck("echo", "y")]);
tell("retries", answers);
retrying.disconnect();

// ── leaving and coming back ──
const gone = once(a, "disconnect");
a.emit("leave me");
const [reason] = await gone;
a.emit("count", "kept");
const back = once(a, "connect");
a.connect();
await back;
tell("emitted while away", [reason, await a.emitWithAck("counted")]);
a.disconnect();

const restless = await connected({ reconnectionDelay: 10, reconnectionDelayMax: 50, randomizationFactor: 0 });
const before = restless.id;
const lost = once(restless, "disconnect");
const again = once(restless, "connect");
restless.io.engine.close();
const [why] = await lost;
restless.connect();
await again;
tell("reconnects", [why, before !== restless.id, await restless.emitWithAck("echo", "here")]);
restless.disconnect();
