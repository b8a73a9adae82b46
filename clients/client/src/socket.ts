/** The port to Socket.IO: all that the connection needs of a socket, and the official client behind it. */

import { io } from "socket.io-client";
import { isObject } from "./wire.ts";

/** Why a socket is gone. `code`: close code of the WebSocket, where there was one. */
export interface Closed {
  /** Whether the server put the socket out with a DISCONNECT packet: it does not want it back as it is. */
  readonly byServer: boolean;
  readonly code: number | null;
}

/** Why a socket did not come about. `data` is the server's `{code, message, …}`; without it there was no answer. */
export interface Refused {
  readonly message: string;
  readonly data: unknown;
}

export interface SocketHandlers {
  connected(): void;
  refused(why: Refused): void;
  closed(why: Closed): void;
  event(name: string, payload: unknown): void;
}

export interface Socket {
  /** Begins to connect; `handlers` tell how it went. Never tries again by itself. */
  connect(token: string): void;
  /** Ends the connection; `closed` is not called for it. */
  disconnect(): void;
  /**
   * Sends an event; the answer is the ack's first argument. Rejects without one after `timeoutMs`, or when the socket goes.
   * `heard` is given the answer before any event that comes behind it: whoever awaits the promise may get it after one.
   */
  request(name: string, payload: object, timeoutMs: number, heard?: Heard): Promise<unknown>;
}

export type Heard = (answer: unknown) => void;

export type OpenSocket = (handlers: SocketHandlers) => Socket;

/**
 * The official client on `url` ("" is the page's own server). Its reconnection is off: it would ignore close codes and
 * errors that say "stop", and its jitter is narrower than ours.
 *
 * Its own Manager, not the shared one: two clients of one page, with two tokens, must not share a connection.
 */
export function socketIo(url: string, namespace: string, path: string): OpenSocket {
  return (handlers) => {
    let current = "";
    const socket = io(`${url.replace(/\/+$/, "")}${namespace}`, {
      path,
      auth: (give) => give({ token: current }),
      autoConnect: false,
      forceNew: true,
      reconnection: false,
      transports: ["websocket", "polling"],
      // Where a proxy does not let WebSocket through, polling does.
      tryAllTransports: true,
    });
    let isWanted = false;
    socket.on("connect", () => handlers.connected());
    socket.on("connect_error", (error: Error & { data?: unknown }) => {
      if (isWanted) handlers.refused({ message: error.message, data: error.data });
    });
    socket.on("disconnect", (reason, details) => {
      if (isWanted) handlers.closed({ byServer: reason === "io server disconnect", code: closeCode(details) });
    });
    socket.onAny((name: string, payload: unknown) => handlers.event(name, payload));
    return {
      connect(token) {
        current = token;
        isWanted = true;
        socket.connect();
      },
      disconnect() {
        isWanted = false;
        socket.disconnect();
      },
      request: (name, payload, timeoutMs, heard) =>
        new Promise((resolve, reject) => {
          socket.timeout(timeoutMs).emit(name, payload, (error: Error | null, answer: unknown) => {
            if (error) return reject(error);
            heard?.(answer);
            resolve(answer);
          });
        }),
    };
  };
}

function closeCode(details: unknown): number | null {
  const context = isObject(details) ? details["context"] : null;
  const code = typeof context === "object" && context !== null && "code" in context ? context.code : null;
  return typeof code === "number" ? code : null;
}
