/** The page is built into the Python package, which serves it at its root. */

import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { finish } from "./tools/finish.ts";

const server = process.env["CLARION_URL"] ?? "http://127.0.0.1:8000";
const proxied = ["/v1", "/livez", "/readyz", "/openapi.json", "/docs"];

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  resolve: { conditions: ["clarion-source", "module", "browser", "development|production"] },
  build: {
    outDir: fileURLToPath(new URL("../../src/clarion/api/web", import.meta.url)),
    emptyOutDir: true,
    target: "es2022",
    sourcemap: false,
    // Files of their own: the content security policy allows neither inline scripts nor data: URLs for them.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  plugins: [finish()],
  server: {
    proxy: {
      ...Object.fromEntries(proxied.map((path) => [path, server])),
      "/socket.io": { target: server, ws: true },
    },
  },
});
