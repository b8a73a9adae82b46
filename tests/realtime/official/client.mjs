// What the official client sees of a server, one JSON line a fact: node client.mjs URL TRANSPORT[,TRANSPORT] [msgpack]
import { createRequire } from "node:module";

const require = createRequire(new URL("../../../clients/", import.meta.url));
const { io } = require("socket.io-client");

const [url, transports, parser] = process.argv.slice(2);
const spoken = parser === "msgpack" ? { parser: require("socket.io-msgpack-parser") } : {};
const options = { ...spoken, transports: transports.split(","), forceNew: true, query: { from: "tests" } };
const tell = (fact, value) => console.log(JSON.stringify({ fact, value }));
const once = (socket, event) => new Promise((resolve) => socket.once(event, (...args) => resolve(args)));

const a = io(url, options);
const welcome = once(a, "welcome");
await once(a, "connect");
const [sid, from] = await welcome;
tell("connected", [a.id === sid, a.id.length, from]);

if (options.transports.length > 1) {
  await new Promise((resolve) => {
    if (a.io.engine.transport.name === "websocket") resolve();
    else a.io.engine.once("upgrade", resolve);
  });
}
tell("transport", [a.io.engine.transport.name, await a.emitWithAck("transport")]);

tell("echo", await new Promise((resolve) => a.emit("echo", 1, "é😀", null, { deep: [[]] }, (...args) => resolve(args))));
tell("later", await a.emitWithAck("later", [1, 2]));
tell("refused", await a.emitWithAck("refuse"));
tell("unknown", (await a.timeout(5000).emitWithAck("nobody listens")).error.code);

a.on("question", (text, data, ack) => ack({ text, data }));
const asked = await a.emitWithAck("ask me", "what?");
tell("asked", [asked.text, Buffer.isBuffer(asked.data), [...asked.data]]);

const back = once(a, "bytes back");
a.emit("bytes", Buffer.from([1, 2, 3]));
const [{ data, size }, empty] = await back;
tell("binary", [[...data], size, empty.length]);
const big = Buffer.alloc(400_000, 7);
tell("big", Buffer.compare(await a.emitWithAck("echo", big), big));

const b = io(url, options);
await once(b, "connect");
tell("rooms", [await a.emitWithAck("join", "r"), await b.emitWithAck("join", "r")]);
const told = once(b, "told");
a.on("told", () => tell("error", "who speaks is left out"));
tell("reached", await a.emitWithAck("tell", "r", "hello", { n: 1 }));
tell("told", await told);

// Many at once keep their order; on polling they come in one body (limits.packets_per_payload).
const order = [];
await Promise.all(Array.from({ length: 90 }, (_, n) => a.emitWithAck(n % 2 ? "echo" : "later", n).then(() => order.push(n))));
const plain = order.filter((n) => n % 2);
tell("order", [order.length, plain.every((n, i) => i === 0 || plain[i - 1] < n)]);

const refused = io(`${url}/admin`, { ...options, auth: { token: "wrong" } });
const [error] = await once(refused, "connect_error");
tell("auth refused", [error.message, error.data]);
const unknown = io(`${url}/nowhere`, options);
const [missing] = await once(unknown, "connect_error");
tell("unknown namespace", [missing.message, missing.data.code]);

// A namespace more on the connection that is there.
const admin = a.io.socket("/admin", { auth: { token: "secret" } });
await once(admin, "connect");
tell("admin", [await admin.emitWithAck("whoami"), admin.id !== a.id]);
admin.disconnect();
tell("after leaving", await a.emitWithAck("echo", "still here"));

const out = once(a, "disconnect");
a.emit("leave me");
tell("put out", (await out)[0]);

for (const socket of [a, b, refused, unknown]) socket.disconnect();
