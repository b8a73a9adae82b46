// The unchanged client tries to get what it may not, one JSON line a fact: node rights.mjs URL '{"ann": TOKEN, …}'
// "no", "silent" and "yes" ask for an application that says so, or nothing, from now on; "said" for a publication.
import { createRequire } from "node:module";
import readline from "node:readline";

const require = createRequire(new URL("../../../clients/", import.meta.url));
const { io } = require("socket.io-client");

const [url, given] = process.argv.slice(2);
const tokens = JSON.parse(given);
const tell = (fact, value = null) => console.log(JSON.stringify({ fact, value }));
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const want = async (what) => {
  tell(what);
  await lines.next(); // it is so now
};
const heard = (socket, event) => new Promise((resolve) => socket.once(event, (...args) => resolve(args)));
const connect = async (token) => {
  const socket = io(`${url}/clarion`, { auth: { token }, forceNew: true, transports: ["websocket"], reconnection: false });
  socket.heard = [];
  socket.on("publication", ({ topic, data }) => socket.heard.push([topic, data]));
  await heard(socket, "connect");
  return socket;
};
const ann = await connect(tokens.ann);
const subscribe = async (topic, more = {}) => {
  const answer = await ann.timeout(10_000).emitWithAck("subscribe", { topic, ...more });
  return answer.error ? answer.error.code : answer.class;
};
const over = [];
let look = () => {};
ann.on("unsubscribed", ({ topic, code }) => {
  over.push([topic, code]);
  look();
});
const ended = async () => {
  while (over.length === 0) await new Promise((resolve) => (look = resolve));
  return over.shift();
};
// A token of a socket that ends takes all with it: looked at in the end.
const short = await connect(tokens.short);
const gone = heard(short, "disconnect");
const shorts = (await short.emitWithAck("subscribe", { topic: "board:x" })).class;

// Tokens for one topic: somebody else's, another's, with too little, over, cut, without a signature, an API key, none at all.
const tried = {};
for (const [name, token] of Object.entries(tokens.bad)) tried[name] = await subscribe("board:x", { token });
tell("bad tokens", tried);
tell("odd tokens", await Promise.all([7, "", null, ["a"], "x".repeat(100_000)].map((token) => subscribe("board:x", { token }))));
tell("without one", await subscribe("board:x"));
tell("with it", await subscribe("board:x", { token: tokens.x }));
tell("not for another", await subscribe("board:y", { token: tokens.x }));
await want("said");
tell("heard", ann.heard.splice(0));
tell("its end", await ended());
await want("said");
tell("over", [ann.heard.splice(0), await subscribe("board:x"), await subscribe("board:x", { token: tokens.x }), ann.connected]);

// The application is asked about these.
tell("asked", await subscribe("news:a"));
const eve = await connect(tokens.eve);
await want("no");
const evil = await eve.emitWithAck("subscribe", { topic: "news:a" });
tell("another's yes is not theirs", evil.error.code);
tell("taken back", await ended());
await want("said");
tell("no more", [ann.heard.splice(0), ann.connected]);

await want("silent");
const began = Date.now();
const answers = await Promise.all([...Array(40).keys()].map((n) => subscribe(`news:${n}`)));
tell("silence", [...new Set(answers)]);
tell("in time", Date.now() - began < 9_000);
const frida = await connect(tokens.frida);
await want("yes");
let late;
do {
  late = (await frida.emitWithAck("subscribe", { topic: "news:late" })).class; // it is left alone for a moment
  await new Promise((resolve) => setTimeout(resolve, 50));
} while (!late);
tell("back", late);

tell("short", [shorts, (await gone)[0]]);
short.heard.length = 0;
await want("said");
tell("nothing after", short.heard);
process.exit(0);
