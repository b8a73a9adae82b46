/** Times as people say them, in the browser's language. */

const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });
const absolute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** "now", "5 min. ago", "yesterday"; after a week the date. */
export function sayAgo(at: string, now: number): string {
  const ms = Date.parse(at);
  if (Number.isNaN(ms)) return "";
  // The server's clock may be ahead of ours; nothing here is in the future.
  const ago = Math.max(0, now - ms);
  if (ago < MINUTE) return relative.format(0, "second");
  if (ago < HOUR) return relative.format(-Math.floor(ago / MINUTE), "minute");
  if (ago < DAY) return relative.format(-Math.floor(ago / HOUR), "hour");
  if (ago < 7 * DAY) return relative.format(-Math.floor(ago / DAY), "day");
  return day.format(ms);
}

export function sayWhen(at: string): string {
  const ms = Date.parse(at);
  return Number.isNaN(ms) ? "" : absolute.format(ms);
}

/** 14:05:09 */
export function sayClock(ms: number): string {
  return clock.format(ms);
}
