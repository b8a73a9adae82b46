/**
 * The hash by which a build is known to be of these sources. `hatch_build.py` computes the same one without Node: for each
 * file, in the order of their paths: path, NUL, SHA-256 of the content, line feed.
 */

import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

/** Below `clients/`: all that ends up in the page. Tests do not. */
export const SOURCES = [
  "client/package.json",
  "client/src",
  "console/index.html",
  "console/package.json",
  "console/public",
  "console/src",
  "console/tools",
  "console/vite.config.ts",
  "package-lock.json",
  "tsconfig.base.json",
];

export function hashSources(clients: string): string {
  const paths = SOURCES.flatMap((name) => filesOf(clients, name)).sort();
  const hash = createHash("sha256");
  for (const path of paths) {
    const content = createHash("sha256")
      .update(readFileSync(join(clients, path)))
      .digest("hex");
    hash.update(`${path}\0${content}\n`);
  }
  return hash.digest("hex");
}

function filesOf(root: string, name: string): string[] {
  const path = join(root, name);
  if (!existsSync(path)) return [];
  if (!statSync(path).isDirectory()) return [name];
  return readdirSync(path)
    .filter((child) => !child.startsWith("."))
    .flatMap((child) => filesOf(root, `${name}/${child}`));
}
