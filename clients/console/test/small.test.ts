/** Links that may be followed, times as people say them, and the hash of the sources. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { safeLink } from "../src/links.ts";
import { sayAgo } from "../src/time.ts";
import { hashSources } from "../tools/hash-sources.ts";

const BASE = "https://clarion.example/";

test("only http, https, mailto and paths on this site are links", () => {
  expect(safeLink("https://a.example/x", BASE)).toMatchObject({ isExternal: true, label: "Open a.example" });
  expect(safeLink("/orders/7", BASE)).toMatchObject({ href: "https://clarion.example/orders/7", isExternal: false });
  expect(safeLink("mailto:ann@a.example", BASE)).toMatchObject({ label: "Write to ann@a.example" });
  for (const text of [
    "javascript:alert(1)",
    " java\nscript:alert(1)",
    "data:text/html,x",
    "file:///etc",
    "http://[",
    "",
    null,
  ]) {
    expect(safeLink(text, BASE)).toBeNull();
  }
  // Looks like a path, is another site: it says so.
  expect(safeLink("//evil.example", BASE)).toMatchObject({ isExternal: true, label: "Open evil.example" });
});

test("times are relative until a week has passed, and never in the future", () => {
  const now = Date.parse("2026-03-10T12:00:00Z");
  const ago = (ms: number) => sayAgo(new Date(now - ms).toISOString(), now);
  expect([ago(0), ago(-60_000), ago(59_000)]).toEqual(Array(3).fill(ago(0)));
  expect(ago(5 * 60_000)).toContain("5");
  expect(ago(8 * 86_400_000)).toMatch(/2/);
  expect(sayAgo("nonsense", now)).toBe("");
});

test("the hash names files and content, whatever their order on disk; other files do not count", () => {
  const folder = mkdtempSync(join(tmpdir(), "clarion-"));
  try {
    mkdirSync(join(folder, "client", "src", "inbox"), { recursive: true });
    writeFileSync(join(folder, "client", "src", "b.ts"), "b");
    writeFileSync(join(folder, "client", "src", "inbox", "a.ts"), "ä");
    const before = hashSources(folder);
    writeFileSync(join(folder, "README.md"), "not of the page");
    expect(hashSources(folder)).toBe(before);
    writeFileSync(join(folder, "client", "src", "b.ts"), "c");
    expect(hashSources(folder)).not.toBe(before);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
