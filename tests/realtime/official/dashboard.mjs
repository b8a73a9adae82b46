// The unchanged client before a dashboard, one JSON line a fact: node dashboard.mjs URL TOKEN
import { createRequire } from "node:module";

const require = createRequire(new URL("../../../clients/", import.meta.url));
const { io } = require("socket.io-client");

const [url, token] = process.argv.slice(2);
const tell = (fact, value) => console.log(JSON.stringify({ fact, value }));
const topic = "dashboard:sales";
const connect = async () => {
  const socket = io(`${url}/clarion`, { auth: { token }, forceNew: true, transports: ["websocket"] });
  await new Promise((resolve) => socket.once("connect", resolve));
  return socket;
};
const watcher = await connect();
const publisher = await connect();
const publications = [];
let awaken = () => undefined;
watcher.on("publication", (publication) => {
  publications.push(publication);
  awaken();
});
const next = async () => {
  while (publications.length === 0) await new Promise((resolve) => { awaken = resolve; });
  return publications.shift();
};
const answer = await watcher.emitWithAck("subscribe", { topic });
tell("subscribed", [answer.class, answer.snapshot.items.map(({ key }) => key), answer.snapshot.items[0].data.title]);
const give = (given) => publisher.emitWithAck("publish", { topic, ...given });
const t = Date.now();
tell("answered", (await give({ event: "append", key: "orders", data: { t: [t], v: [[1]] } })).class);
tell("first", [(await next()).event]);
await give({ event: "append", key: "orders", data: { t: [t + 1_000], v: [[2]] } });
const { event, key, data } = await next();
tell("grows", [event, key, data.add.v, Object.keys(data.add)]);
tell("repeated", (await give({ event: "append", key: "orders", data: { t: [t + 1_000], v: [[2]] } })).dropped);
tell("out of order", (await give({ event: "append", key: "orders", data: { t: [t], v: [[9]] } })).error.errors[0].pointer);
tell("no widget", (await give({ key: "nothing", data: 1 })).error.code);
tell("params", (await watcher.emitWithAck("subscribe", { topic, params: { points: 3 } })).error.code);
tell("not there", (await watcher.emitWithAck("subscribe", { topic: "dashboard:none" })).error.code);
process.exit(0);
