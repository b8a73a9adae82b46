// A bell: "dan and 1 other like photo:17", with what is new, with the stock client: npm install socket.io-client
// A back end adds what concerns a user to the stream `notes:<user>`, with a `group`, and names them as its reader.
import { io } from "socket.io-client";

const socket = io("http://127.0.0.1:8000/clarion", { auth: { token: process.env.CLARION_TOKEN } });
const name = `feed:notes:${process.env.CLARION_USER}`;
let topic, feed;

function newestFirst(a, b) {
  return Date.parse(b.published) - Date.parse(a.published) || (a.id < b.id ? 1 : -1);
}

function show() {
  for (const { actors, actor_count: count, verb, object } of feed.items) {
    const others = count > 1 ? ` and ${count - 1} other${count > 2 ? "s" : ""}` : "";
    console.log(`${actors[0]}${others} ${verb} ${object}`);
  }
  console.log(`${feed.unseen} new`);
}

socket.on("connect", async () => {
  const answer = await socket.emitWithAck("subscribe", { topic: name });
  if (answer.error) throw new Error(answer.error.message);
  ({ topic, snapshot: feed } = answer);
  show();
});

socket.on("publication", async (publication) => {
  if (publication.topic !== topic) return;
  const { item, id = item?.id, ...counts } = publication.data;
  let items = feed.items.filter((each) => each.id !== id);
  if (item) items = [...items, item].sort(newestFirst).slice(0, 50);
  feed = { items, ...counts };
  if (publication.event === "removed") return; // of a group that moves: it is added again at once
  show();
  if (feed.unseen) await socket.emitWithAck("publish", { topic: name, event: "seen" });
});
