// The unchanged client on a stream of activities, one JSON line a fact: node activity.mjs URL KEY
import { createRequire } from "node:module";

const require = createRequire(new URL("../../../clients/", import.meta.url));
const { io } = require("socket.io-client");

const [url, token] = process.argv.slice(2);
const tell = (fact, value) => console.log(JSON.stringify({ fact, value }));
const socket = io(`${url}/clarion`, { auth: { token }, transports: ["websocket"] });
const topic = "activity:photo:17";
const say = (event, data, key) => socket.emitWithAck("publish", { topic, event, data, ...(key && { key }) });
const heard = [];

socket.on("publication", ({ offset, event, data }) => heard.push([offset, event, data]));
const subscribed = await socket.emitWithAck("subscribe", { topic });
tell("snapshot", subscribed.snapshot);
const added = await say("add", { actor: "ann", verb: "like", object: "photo:17" });
tell("added", [added.offset, added.class, typeof added.key]);
await say("change", { verb: "love" }, added.key);
await say("remove", undefined, added.key);
tell("nothing there", (await say("remove", undefined, added.key)).error.code);
tell("no activity", (await say("add", { verb: "like" })).error.errors[0].pointer);
while (heard.length < 3) await new Promise((resolve) => socket.once("publication", resolve));
tell("heard", heard.map(([offset, event, data]) => [offset, event, data.activity?.verb ?? null, data.more]));
process.exit(0);
