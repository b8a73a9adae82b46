// The unchanged client in a room, one JSON line a fact: node presence.mjs URL TOKEN_OF_ANN TOKEN_OF_BEN
import { createRequire } from "node:module";

const require = createRequire(new URL("../../../clients/", import.meta.url));
const { io } = require("socket.io-client");

const [url, annsToken, bensToken] = process.argv.slice(2);
const tell = (fact, value) => console.log(JSON.stringify({ fact, value }));
const heard = (socket, event) => new Promise((resolve) => socket.once(event, (...args) => resolve(args)));
const connect = async (token) => {
  const socket = io(`${url}/clarion`, { auth: { token }, forceNew: true, transports: ["websocket"], reconnectionDelay: 10 });
  await heard(socket, "connect");
  return socket;
};
const topic = "presence:lobby";
const members = new Map();
const events = [];
const follow = (socket) =>
  socket.on("publication", ({ topic: of, event, key, data, patch }) => {
    if (of !== topic) return;
    events.push([event, key]);
    if (event === "remove") members.delete(key);
    else members.set(key, patch ? { ...members.get(key), ...patch } : data);
    for (const look of looks) look();
  });
let looks = [];
const until = (check) =>
  new Promise((resolve) => {
    const look = () => {
      if (!check()) return;
      looks = looks.filter((each) => each !== look);
      resolve();
    };
    looks.push(look);
    look();
  });

const ann = await connect(annsToken);
follow(ann);
const answer = await ann.emitWithAck("subscribe", { topic, params: { enter: { data: { name: "Ann" } } } });
tell("subscribed", [answer.topic, answer.class, answer.recovered]);
await until(() => members.has("ann"));
const { since, last_active, devices, ...shown } = members.get("ann");
tell("entered", [shown, Object.values(devices), since <= last_active]);

let ben = await connect(bensToken);
tell("count", (await ben.emitWithAck("subscribe", { topic, params: { mode: "count" } })).topic);
await ben.emitWithAck("publish", { topic, event: "enter", data: { device: "phone" } });
await until(() => members.has("ben"));
await ben.emitWithAck("publish", { topic, event: "update", data: { status: "away", text: "at lunch" } });
tell("updated", [members.get("ben").status, members.get("ben").text]);
tell("refused", (await ben.emitWithAck("publish", { topic, event: "update", data: { status: "odd" } })).error.code);
tell("forbidden", (await ben.emitWithAck("subscribe", { topic: "presence:secret" })).error.code);
const data = { name: "x".repeat(900_000) };
tell("too large", (await ben.emitWithAck("publish", { topic, event: "update", data: { data } })).error.code);

// Contacts, and who may be seen; signals.
const call = async (method, path, body, token) => {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const answered = await fetch(`${url}${path}`, { method, headers, ...(body && { body: JSON.stringify(body) }) });
  return answered.json();
};
const statusOfBen = async () => (await call("POST", "/v1/presence/status", { users: ["ben"] }, annsToken)).items[0];
await call("POST", "/v1/users/ann/contacts", { add: ["ben"] }, annsToken);
const friends = await ann.emitWithAck("subscribe", { topic: "contacts:ann" });
tell("contacts", friends.snapshot.items.map(({ key, data: { status } }) => [key, status]));
const gone = new Promise((resolve) =>
  ann.on("publication", ({ topic: of, event, key }) => of === "contacts:ann" && event === "remove" && resolve(key)),
);
await call("PUT", "/v1/users/ben/visibility", { visibility: "nobody" }, bensToken);
tell("invisible", [await gone, (await statusOfBen()).status]);
await until(() => !members.has("ben"));
await call("PUT", "/v1/users/ben/visibility", { visibility: "everyone" }, bensToken);
await until(() => members.has("ben"));
const signal = (socket, event, more) => socket.emitWithAck("publish", { topic: "signals:lobby", event, ...more });
tell("lock", (await signal(ben, "lock", { key: "title" })).ttl_s);
const refused = (await signal(ann, "lock", { key: "title" })).error;
tell("locked", [refused.code, refused.current.data]);

events.length = 0;
ben.io.engine.close(); // the connection breaks, and comes back by itself
await heard(ben, "connect");
await ben.emitWithAck("publish", { topic, event: "enter", data: { device: "phone" } });
await ben.emitWithAck("publish", { topic, event: "update", data: { status: "away" } });
tell("a blink", events.filter(([event]) => event === "remove"));
ben.disconnect();
await until(() => !members.has("ben"));
tell("gone", events.at(-1));
process.exit(0);
