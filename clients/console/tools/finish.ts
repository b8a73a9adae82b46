/** After the bundle: what the Python server needs beside it. Socket.IO's admin page, compressed twins, and the hash of the sources. */

import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import type { Plugin } from "vite";
import { FOLDER as ADMIN_UI, copyAdminUi } from "./admin-ui/index.ts";
import { hashSources } from "./hash-sources.ts";

const CLIENTS = fileURLToPath(new URL("../..", import.meta.url));
const COMPRESSIBLE = /\.(html|js|css|svg|json|txt)$/;
// Below this the headers weigh more than what is saved.
const WORTH_IT = 512;
// What a browser with gzip loads of our own page, all files together (bytes).
const BUDGET = 108 * 1024;

export function finish(): Plugin {
  let outDir = "";
  return {
    name: "clarion-finish",
    apply: "build",
    configResolved(config) {
      outDir = config.build.outDir;
    },
    closeBundle: {
      order: "post",
      handler() {
        let total = 0;
        for (const path of filesBelow(outDir)) total += compress(path);
        if (total > BUDGET) this.error(`the page has ${total} bytes with gzip, ${BUDGET} are allowed`);
        copyAdminUi(join(CLIENTS, "node_modules"), outDir);
        for (const path of filesBelow(join(outDir, ADMIN_UI))) compress(path);
        writeFileSync(join(outDir, ".build-hash"), `${hashSources(CLIENTS)}\n`);
        this.info(`${(total / 1024).toFixed(1)} KiB with gzip`);
      },
    },
  };
}

/** Writes the twins; returns how many bytes a browser with gzip loads. */
function compress(path: string): number {
  const content = readFileSync(path);
  if (!COMPRESSIBLE.test(path) || content.length < WORTH_IT) return content.length;
  const gzipped = gzipSync(content, { level: 9 });
  writeFileSync(`${path}.gz`, gzipped);
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: content.length };
  writeFileSync(`${path}.br`, brotliCompressSync(content, { params }));
  return gzipped.length;
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? filesBelow(path) : [path];
  });
}
