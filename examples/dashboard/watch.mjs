// A dashboard with the stock client: npm install socket.io-client
// The token grants `topics: {"dashboard:sales": ["subscribe"]}`. With @clarion/client all of this is `client.topic("dashboard:sales")`.
import { io } from "socket.io-client";

const topic = "dashboard:sales";
const socket = io("http://127.0.0.1:8000/clarion", { auth: { token: process.env.CLARION_TOKEN } });
const items = {};

// What an `append` makes of a value: a merge patch whose arrays are columns that grow.
function grown(value, add, pop, drop) {
  if (Array.isArray(add)) {
    if (Array.isArray(add[0])) return add.map((column, line) => grown(value?.[line], column, pop, drop));
    const before = value ?? [];
    return [...before.slice(0, before.length - pop), ...add].slice(drop);
  }
  if (typeof add !== "object" || add === null) return add;
  const after = { ...value };
  for (const [name, more] of Object.entries(add)) {
    if (more === null) delete after[name];
    else after[name] = grown(after[name], more, pop, drop);
  }
  return after;
}

function show(key) {
  const { title, widgets } = items.definition;
  const widget = widgets.find(({ id }) => id === key);
  if (!widget) return console.log(`${title}: ${widgets.length} widgets`);
  const { value, v, stale } = items[key];
  console.log(`${widget.title}: ${value ?? v.map((line) => line.at(-1)).join(", ")}${stale ? " (stale)" : ""}`);
}

socket.on("connect", async () => {
  const answer = await socket.emitWithAck("subscribe", { topic });
  if (answer.error) throw new Error(answer.error.message);
  for (const { key, data } of answer.snapshot.items) items[key] = data;
  for (const key of Object.keys(items)) show(key);
});

socket.on("publication", ({ topic: name, event, key, data, patch }) => {
  if (name !== topic || !event) return;
  if (event === "remove") return delete items[key];
  if (patch) items[key] = grown(items[key], patch, 0, 0);
  else if (event === "append") items[key] = grown(items[key], data.add, data.pop ?? 0, data.drop ?? 0);
  else items[key] = data;
  show(key);
});
