// The unchanged client in a room while the server is restarted, one JSON line a fact: node presence_restart.mjs URL TOKEN_OF_ANN TOKEN_OF_BEN
import { createRequire } from "node:module";

const require = createRequire(new URL("../../../clients/", import.meta.url));
const { io } = require("socket.io-client");

const [url, annsToken, bensToken] = process.argv.slice(2);
const tell = (fact, value) => console.log(JSON.stringify({ fact, value }));
const heard = (socket, event) => new Promise((resolve) => socket.once(event, (...args) => resolve(args)));
const options = { forceNew: true, transports: ["websocket"], reconnectionDelay: 50, reconnectionDelayMax: 100 };
const topic = "presence:lobby";
const enter = { topic, params: { enter: {} } };

const ben = io(`${url}/clarion`, { ...options, auth: { token: bensToken }, reconnection: false });
await heard(ben, "connect");
await ben.emitWithAck("publish", { topic, event: "enter", data: {} });

const ann = io(`${url}/clarion`, { ...options, auth: { token: annsToken } });
const left = [];
ann.on("publication", ({ event, key }) => event === "remove" && left.push(key));
await heard(ann, "connect");
const { epoch, offset, mark } = await ann.emitWithAck("subscribe", enter);
const back = heard(ann.io, "reconnect");
tell("restart", null);
await back;
if (!ann.connected) await heard(ann, "connect");
const answer = await ann.emitWithAck("subscribe", { ...enter, since: { epoch, offset, mark } });
tell("answer", [answer.recovered, answer.reason, answer.snapshot.items.map(({ key }) => key)]);
await ann.emitWithAck("publish", { topic, event: "update", data: { status: "idle" } });
tell("left", left);
process.exit(0);
