// What the official client sees of the server's API, one JSON line a fact: node api.mjs URL TRANSPORT[,TRANSPORT]
import { createRequire } from "node:module";

const require = createRequire(new URL("../../../clients/", import.meta.url));
const { io } = require("socket.io-client");

const [url, transports] = process.argv.slice(2);
const options = { transports: transports.split(","), forceNew: true };
const tell = (fact, value) => console.log(JSON.stringify({ fact, value }));
const connected = (socket) => new Promise((resolve) => socket.on("connect", resolve));

const a = io(url, options);
const b = io(url, options);
await Promise.all([a, b].map(connected));
tell("changed", await a.emitWithAck("change", "x"));
tell("forbidden", (await a.emitWithAck("forbidden")).error.code);
tell("typed", await a.emitWithAck("item", { name: "n", blob: Buffer.from([1, 2]) }));
tell("mistyped", (await a.emitWithAck("item", { name: 1 })).error.errors);

a.on("q", (ack) => ack(1, 2));
tell("partial", await b.emitWithAck("ask all"));
b.on("q", (ack) => ack(3));
tell("all", await b.emitWithAck("ask all"));

let chunks = 0;
a.on("chunk", () => chunks++);
tell("drained", [await a.emitWithAck("flood"), chunks]);

const numbered = a.io.socket("/t-5");
await connected(numbered);
tell("pattern", await numbered.emitWithAck("who"));
const keyed = io(`${url}/keyed`, { ...options, auth: { key: 1 } });
await connected(keyed);
tell("function", await keyed.emitWithAck("who"));
const refused = io(`${url}/other`, { ...options, auth: { key: 2 } });
tell("none", await new Promise((resolve) => refused.on("connect_error", (error) => resolve(error.message))));

for (const socket of [a, b, numbered, keyed, refused]) socket.disconnect();
