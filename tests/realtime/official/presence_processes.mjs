// Two people on two processes of one server, one JSON line a fact: node presence_processes.mjs URL TOKEN_OF_ANN OTHER_URL TOKEN_OF_BEN
import { createRequire } from "node:module";

const require = createRequire(new URL("../../../clients/", import.meta.url));
const { io } = require("socket.io-client");

const [url, annsToken, otherUrl, bensToken] = process.argv.slice(2);
const tell = (fact, value) => console.log(JSON.stringify({ fact, value }));
const heard = (socket, event) => new Promise((resolve) => socket.once(event, (...args) => resolve(args)));
const options = { forceNew: true, transports: ["websocket"], reconnectionDelay: 50, reconnectionDelayMax: 100 };
const topic = "presence:lobby";
const connect = async (to, token, more) => {
  const socket = io(`${to}/clarion`, { ...options, ...more, auth: { token } });
  await heard(socket, "connect");
  return socket;
};

const told = [];
let look = () => {};
const until = (check) =>
  new Promise((resolve) => {
    look = () => check() && resolve();
    look();
  });
const ann = await connect(url, annsToken);
ann.on("publication", ({ topic: of, event, key, data }) => {
  told.push([of.split(":")[0], event, key, ...(event === "remove" ? [data.reason] : [])]);
  look();
});
await ann.emitWithAck("subscribe", { topic });
await ann.emitWithAck("subscribe", { topic: "contacts:ann" });
const seen = () => told.splice(0).sort();

const ben = await connect(otherUrl, bensToken, { reconnection: false });
await ben.emitWithAck("publish", { topic, event: "enter" });
await until(() => told.length === 2);
tell("entered", seen());
tell("kill", null);
await until(() => told.length === 2);
tell("killed", seen());
process.exit(0);
