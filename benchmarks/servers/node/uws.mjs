// socket.io on Node, on uWebSockets (an npm build of it): node uws.mjs PORT
import uws from "@trufflesuite/uws-js-unofficial";
import { Server } from "socket.io";
import { handle, pingInterval, port } from "./handlers.mjs";

const app = uws.App();
const io = new Server({ pingInterval });
handle(io);
io.attachApp(app);
app.listen("127.0.0.1", port, () => {});
