// Who is in a room, and who types there, with the stock client: npm install socket.io-client
// The token grants `topics: {"presence:lobby": ["subscribe", "publish"], "signals:lobby": ["subscribe", "publish"]}`, or `presence.open` lists the room.
import { io } from "socket.io-client";

const socket = io("http://127.0.0.1:8000/clarion", { auth: { token: process.env.CLARION_TOKEN } });
const here = { "presence:lobby": new Map(), "signals:lobby": new Map() };

// What a merge patch (RFC 7396) makes of a value: of its members null takes away, objects are merged.
function merged(value, patch) {
  if (Object(patch) !== patch || Array.isArray(patch)) return patch;
  const after = Object(value) === value && !Array.isArray(value) ? { ...value } : {};
  for (const [name, change] of Object.entries(patch)) {
    if (change === null) delete after[name];
    else after[name] = merged(after[name], change);
  }
  return after;
}

function show() {
  const users = [...here["presence:lobby"]].map(([user, { status }]) => `${user} (${status})`);
  const typing = [...here["signals:lobby"]].filter(([key]) => key.startsWith("typing:")).map(([, { user }]) => user);
  console.log(users.join(", ") + (typing.length ? `; ${typing.join(", ")} typing` : ""));
}

async function follow(topic, params) {
  const answer = await socket.emitWithAck("subscribe", { topic, ...(params && { params }) });
  if (answer.error) throw new Error(answer.error.message);
  here[topic] = new Map(answer.snapshot.items.map(({ key, data }) => [key, data]));
}

socket.on("connect", async () => {
  await follow("presence:lobby", { enter: { device: "web" } });
  await follow("signals:lobby");
  await socket.emitWithAck("publish", { topic: "signals:lobby", event: "typing" });
});

socket.on("publication", ({ topic, event, key, data, patch }) => {
  if (event === "remove") here[topic].delete(key);
  else here[topic].set(key, patch ? merged(here[topic].get(key), patch) : data);
  show();
});
