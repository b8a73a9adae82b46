/** The client stays small: it is on every page of somebody's application. */

import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";
import { expect, test } from "vitest";

// Of our own code, minified, with gzip; socket.io-client comes on top (about 13 KiB).
const BUDGET = 10 * 1024; // bytes

test("the core is at most 10 KiB with gzip", async () => {
  const entry = fileURLToPath(new URL("../src/index.ts", import.meta.url));
  const outcome = await build({
    configFile: false,
    logLevel: "silent",
    build: {
      write: false,
      minify: true,
      target: "es2022",
      lib: { entry, formats: ["es"] },
      // A library keeps its line ends and comments for whoever bundles it, whose bundle does not.
      rolldownOptions: { external: ["socket.io-client"], output: { minify: true } },
    },
  });
  const outputs = [outcome].flat().flatMap((one) => ("output" in one ? one.output : []));
  const size = outputs.reduce((sum, file) => sum + ("code" in file ? gzipSync(file.code).length : 0), 0);
  expect(size).toBeGreaterThan(1024);
  expect(size).toBeLessThanOrEqual(BUDGET);
});
