// The unchanged client before a server whose handlers are an Express application, one JSON line a fact: node upstream.mjs URL TOKEN
// "kill" asks for the application's end, "start" for its return.
import { createRequire } from "node:module";

const require = createRequire(new URL("../../../clients/", import.meta.url));
const { io } = require("socket.io-client");

const [url, token] = process.argv.slice(2);
const tell = (fact, value) => console.log(JSON.stringify({ fact, value }));
const connect = (name) => io(url, { auth: { name }, forceNew: true, transports: ["websocket"] });
const heard = (socket, event) => new Promise((resolve) => socket.once(event, (...args) => resolve(args)));

const nobody = connect();
tell("refused", (await heard(nobody, "connect_error"))[0].data);

const ann = connect("ann");
const ben = connect("ben");
await Promise.all([heard(ann, "connect"), heard(ben, "connect")]);
const message = heard(ben, "message");
tell("ack", await ann.emitWithAck("message", "hello"));
tell("message", await message);
tell("renamed", await ann.emitWithAck("rename", "Ann"));
const renamed = heard(ben, "message");
ann.emit("message", "again");
tell("message", await renamed);
tell("error", await ann.emitWithAck("rename", 5));
tell("unknown", (await ann.emitWithAck("nothing")).error);
tell("bytes", await ann.emitWithAck("echo", Buffer.from("hi"), { deep: [1, null] }).then((first) => first));
const order = await Promise.all([...Array(100).keys()].map((n) => ann.emitWithAck("echo", n)));
tell("order", order.every((answer, n) => answer === n));

const home = io(`${url}/clarion`, { auth: { token }, forceNew: true, transports: ["websocket"] });
await heard(home, "connect");
tell("not theirs", (await home.emitWithAck("subscribe", { topic: "news:secret" })).error.code);
tell("theirs", (await home.emitWithAck("subscribe", { topic: "news:all" })).class);
const said = [];
home.on("publication", ({ event, data }) => said.push([event, data]));
const publish = (event, data) => home.emitWithAck("publish", { topic: "news:all", event, data });
tell("published", (await publish("said", "hello")).offset);
tell("changed", (await publish("shout", "hello")).offset);
tell("not allowed", (await publish("swear", 1)).error.code);
tell("said", said);

const slow = Date.now();
tell("slow", (await ann.emitWithAck("slow")).error.code);
tell("within the deadline", Date.now() - slow < 5_000);

tell("kill", null);
let code;
while (code === undefined) code = (await ann.emitWithAck("echo", 1))?.error?.code;
tell("down", code);
const began = Date.now();
const answers = await Promise.all([...Array(50).keys()].map((n) => ben.emitWithAck("echo", n)));
tell("all are told", answers.every((answer) => answer.error?.code === "upstream_unavailable"));
tell("and nothing hangs", Date.now() - began < 3_000);
tell("start", null);
let answer;
while (answer !== 7) {
  answer = await ann.emitWithAck("echo", 7);
  if (answer !== 7) await new Promise((resolve) => setTimeout(resolve, 50));
}
tell("back", [ann.connected, ben.connected]);
process.exit(0);
