// Handlers of a Socket.IO application in Express, behind Clarion: it holds the connections, this answers the events.
//
//     SECRET=a-secret-of-24-characters PORT=3100 node app.mjs
//
//     CLARION_UPSTREAM_URL=http://127.0.0.1:3100/events CLARION_UPSTREAM_SECRET=a-secret-of-24-characters \
//     CLARION_UPSTREAM_CONNECT=1 CLARION_AUTH_OPEN_NAMESPACES=/ clarion serve
import { createHmac, timingSafeEqual } from "node:crypto";
import express from "express";

const { SECRET, PORT = "3100" } = process.env;

const on = {
  connect: ({ auth }) =>
    auth.name ? { user: auth.name, data: { name: auth.name }, join: ["lobby"] } : { error: { code: "no_name", message: "Say who you are" } },

  message: ({ socket }, text) => ({
    ack: [{ ok: true }],
    emit: [{ event: "message", args: [socket.data.name, text], room: "lobby", except: [socket.id] }],
  }),

  rename: ({ socket }, name) =>
    typeof name === "string" ? { data: { ...socket.data, name }, ack: [name] } : { error: { code: "bad_name", message: "A name is text" } },

  // Topics of the kinds that CLARION_UPSTREAM_STREAMS and CLARION_UPSTREAM_MAPS name.
  subscribe: ({ topic }) => ({ allow: topic === "news:all" }),

  publish: ({ topic, publication, socket }) =>
    publication.event === "shout"
      ? { allow: true, publish: [{ topic, event: "said", data: { by: socket.user, text: publication.data.toUpperCase() } }] }
      : { allow: publication.event === "said" },

  slow: async () => {
    await new Promise((resolve) => setTimeout(resolve, 10_000));
    return { ack: ["at last"] };
  },

  echo: (_, ...args) => ({ ack: args }),
};

async function answer(request) {
  const handler = on[request.event ?? request.type];
  if (!handler) return { error: { code: "unknown_event", message: `no handler for ${request.event}` } };
  try {
    return await handler(request, ...(request.args ?? []));
  } catch (error) {
    console.error(error);
    return { error: { code: "internal", message: "Something went wrong" } };
  }
}

// Nobody but Clarion knows the secret: https://www.standardwebhooks.com
function isOurs(headers, body) {
  const signed = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`;
  const wanted = createHmac("sha256", SECRET).update(signed).update(body).digest();
  const [, given = ""] = (headers["webhook-signature"] ?? "").split(",");
  const bytes = Buffer.from(given, "base64");
  const isFresh = Math.abs(Date.now() / 1000 - Number(headers["webhook-timestamp"])) < 300;
  return isFresh && bytes.length === wanted.length && timingSafeEqual(bytes, wanted);
}

const app = express();

app.post("/events", express.raw({ type: "application/json", limit: "100mb" }), async (req, res) => {
  if (!isOurs(req.headers, req.body)) return res.sendStatus(401);
  const { requests } = JSON.parse(req.body);
  res.json({ answers: await Promise.all(requests.map(answer)) });
});

app.listen(Number(PORT), "127.0.0.1", () => console.log("listening"));
