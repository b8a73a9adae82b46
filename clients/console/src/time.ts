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

/** "in 5 min.", "tomorrow": of what is yet to be. */
export function sayAhead(at: string, now: number): string {
  const ms = Date.parse(at) - now;
  if (Number.isNaN(ms)) return "";
  if (ms < HOUR) return relative.format(Math.max(1, Math.ceil(ms / MINUTE)), "minute");
  if (ms < DAY) return relative.format(Math.round(ms / HOUR), "hour");
  return relative.format(Math.round(ms / DAY), "day");
}

export interface Later {
  readonly label: string;
  readonly at: Date;
}

const MORNING = 8;
const EVENING = 18;

/** When somebody may want to hear of something again, the soonest first; hours are of the browser's zone. */
export function laterTimes(now: Date): readonly Later[] {
  const at = (days: number, hour: number) => new Date(now.getFullYear(), now.getMonth(), now.getDate() + days, hour);
  const evening = { label: "This evening", at: at(0, EVENING) };
  const untilMonday = (8 - now.getDay()) % 7 || 7;
  return [
    { label: "In an hour", at: new Date(now.getTime() + HOUR) },
    // Not much later than in an hour, it would be no choice.
    ...(evening.at.getTime() - now.getTime() > 2 * HOUR ? [evening] : []),
    { label: "Tomorrow", at: at(1, MORNING) },
    ...(untilMonday > 1 ? [{ label: "Monday", at: at(untilMonday, MORNING) }] : []),
  ];
}

export function sayWhen(at: string): string {
  const ms = Date.parse(at);
  return Number.isNaN(ms) ? "" : absolute.format(ms);
}

/** 14:05:09 */
export function sayClock(ms: number): string {
  return clock.format(ms);
}
