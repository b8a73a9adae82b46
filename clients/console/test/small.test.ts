/** Links that may be followed, times as people say them, and the hash of the sources. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { safeLink } from "../src/links.ts";
import { laterTimes, sayAgo, sayAhead } from "../src/time.ts";
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

test("what is yet to be is said as it is, and never as past", () => {
  const now = Date.parse("2026-03-10T12:00:00Z");
  const ahead = (ms: number) => sayAhead(new Date(now + ms).toISOString(), now);
  expect(ahead(-5_000)).toBe(ahead(59_000));
  expect([ahead(90 * 60_000), ahead(36 * 3_600_000)].map((text) => text.match(/\d+/)?.[0])).toEqual(["2", "2"]);
  expect(sayAhead("nonsense", now)).toBe("");
});

test("one may put off to times that differ, and are yet to come", () => {
  const said = (...at: [number, number, number, number]) =>
    laterTimes(new Date(...at)).map(({ label, at }) => `${label} ${at.getDate()}. ${at.getHours()}:00`);
  // A Tuesday at noon, a Sunday late in the evening: then tomorrow is Monday.
  expect(said(2026, 2, 10, 12)).toEqual([
    "In an hour 10. 13:00",
    "This evening 10. 18:00",
    "Tomorrow 11. 8:00",
    "Monday 16. 8:00",
  ]);
  expect(said(2026, 2, 15, 22)).toEqual(["In an hour 15. 23:00", "Tomorrow 16. 8:00"]);
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
