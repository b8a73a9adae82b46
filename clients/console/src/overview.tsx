/** What operators look at: how much was sent today, what failed and why, how long it took, and what is dead. */

import { ClarionError, type Client } from "@clarion/client";
import { useCallback, useEffect, useState } from "react";
import { sayWhen } from "./time.ts";

interface Took {
  readonly p50: number;
  readonly p99: number;
}

interface Numbers {
  readonly at: string;
  readonly name: string;
  readonly counts: Readonly<Record<string, number>>;
  readonly rates: Readonly<Record<string, number>>;
  readonly took_ms: Readonly<Record<string, Took>>;
}

interface Stats {
  readonly since: string;
  readonly until: string;
  readonly items: readonly Numbers[];
}

interface Group {
  readonly channel: string;
  readonly provider: string;
  readonly workflow: string;
  readonly reason: string;
  readonly letters: number;
  readonly last_at: string;
}

interface Found {
  readonly hours: Stats;
  readonly channels: Stats;
  readonly providers: Stats;
  readonly runs: Stats;
  readonly dead: readonly Group[];
}

const LOOK_MS = 5_000;
const HOUR_MS = 3_600_000;

async function look(client: Client): Promise<Found> {
  const get = <T,>(path: string) => client.call<T>({ method: "GET", path, retries: 1 });
  const [hours, channels, providers, runs, dead] = await Promise.all([
    get<Stats>("/v1/stats?interval=hour"),
    get<Stats>("/v1/stats?by=channel"),
    get<Stats>("/v1/stats?what=attempt&by=provider"),
    get<Stats>("/v1/stats?what=run&by=workflow"),
    get<{ items: readonly Group[] }>("/v1/dead-letters"),
  ]);
  return { hours, channels, providers, runs, dead: dead.items };
}

export function Overview({ client, mayReplay }: { client: Client; mayReplay: boolean }) {
  const [found, setFound] = useState<Found | null>(null);
  const [trouble, setTrouble] = useState<string | null>(null);
  const refresh = useCallback(async () => {
    try {
      setFound(await look(client));
      setTrouble(null);
    } catch (thrown) {
      setTrouble(thrown instanceof ClarionError ? thrown.detail : "Something went wrong.");
    }
  }, [client]);
  useEffect(() => {
    void refresh();
    const timer = setInterval(() => document.visibilityState === "visible" && void refresh(), LOOK_MS);
    return () => clearInterval(timer);
  }, [refresh]);

  return (
    <main className="overview" data-testid="overview">
      <h2 className="overview-title">Messages of the last 24 hours</h2>
      {trouble && (
        <p className="bad-text" role="alert">
          {trouble}
        </p>
      )}
      {found && (
        <>
          <Hours stats={found.hours} />
          <Channels items={found.channels.items} />
          <Providers items={found.providers.items} />
          <FailedRuns items={found.runs.items} />
          <Dead client={client} groups={found.dead} mayReplay={mayReplay} onDone={() => void refresh()} />
        </>
      )}
    </main>
  );
}

/** Each hour a bar: what was sent, and on top of it, in red, what failed. */
function Hours({ stats }: { stats: Stats }) {
  const begin = Date.parse(stats.since);
  const count = Math.max(1, Math.round((Date.parse(stats.until) - begin) / HOUR_MS));
  const by = new Map(stats.items.map((each) => [Date.parse(each.at), each]));
  const bars = Array.from({ length: count }, (_, i) => {
    const at = begin + i * HOUR_MS;
    const counts = by.get(at)?.counts ?? {};
    return { at, sent: counts["sent"] ?? 0, failed: (counts["failed"] ?? 0) + (counts["bounced"] ?? 0) };
  });
  const most = Math.max(1, ...bars.map(({ sent, failed }) => sent + failed));
  const sent = bars.reduce((sum, each) => sum + each.sent, 0);
  const failed = bars.reduce((sum, each) => sum + each.failed, 0);
  return (
    <section className="card overview-hours" aria-labelledby="overview-hours">
      <h3 id="overview-hours">
        <b data-testid="overview-sent">{number(sent)}</b> sent
        <span className={failed > 0 ? "bad-text" : "muted"} data-testid="overview-failed">
          {number(failed)} failed
        </span>
      </h3>
      <svg
        viewBox={`0 0 ${count * 10} 60`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${sent} sent, ${failed} failed, by the hour`}
      >
        {bars.map((each, i) => (
          <g key={each.at}>
            <title>{`${sayWhen(new Date(each.at).toISOString())}: ${each.sent} sent, ${each.failed} failed`}</title>
            <rect className="bar-ground" x={i * 10} y={0} width={10} height={60} />
            <rect
              className="bar-sent"
              x={i * 10 + 1}
              y={60 - height(each.sent, most)}
              width={8}
              height={height(each.sent, most)}
            />
            <rect
              className="bar-failed"
              x={i * 10 + 1}
              y={60 - height(each.sent, most) - height(each.failed, most)}
              width={8}
              height={height(each.failed, most)}
            />
          </g>
        ))}
      </svg>
      <p className="overview-axis muted" aria-hidden="true">
        <span>{sayWhen(stats.since)}</span>
        <span>now</span>
      </p>
    </section>
  );
}

function Channels({ items }: { items: readonly Numbers[] }) {
  return (
    <Table
      title="Channels"
      head={["Channel", "Sent", "Delivered", "Read", "Failed", "Sent within (p50 · p99)"]}
      rows={items.map(({ name, counts, rates, took_ms }) => {
        const failed = (counts["failed"] ?? 0) + (counts["bounced"] ?? 0);
        const cells = [number(counts["sent"]), share(rates["delivered"]), share(rates["read"]), number(failed)];
        return { name, cells: [...cells, took(took_ms["sent"])], bad: failed > 0 ? 3 : -1 };
      })}
    />
  );
}

function Providers({ items }: { items: readonly Numbers[] }) {
  return (
    <Table
      title="Providers"
      head={["Provider", "Took", "Refused", "Answer (p50 · p99)"]}
      rows={items.map(({ name, counts, took_ms }) => {
        const sent = counts["sent"] ?? 0;
        const refused = Object.values(counts).reduce((sum, each) => sum + each, 0) - sent;
        const cells = [number(sent), number(refused), took(took_ms["sent"] ?? Object.values(took_ms)[0])];
        return { name: name || "none", cells, bad: refused > 0 ? 1 : -1 };
      })}
    />
  );
}

interface TableProps {
  title: string;
  head: readonly string[];
  /** `bad`: which of the cells is bad news. */
  rows: readonly { name: string; cells: readonly string[]; bad: number }[];
}

function Table({ title, head, rows }: TableProps) {
  if (rows.length === 0) return null;
  return (
    <section className="card overview-scroll" aria-label={title}>
      <table>
        <thead>
          <tr>
            {head.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ name, cells, bad }) => (
            <tr key={name} data-testid={`overview-${title}`}>
              <th scope="row">{name}</th>
              {cells.map((cell, i) => (
                <td key={head[i + 1]} data-name={head[i + 1]} className={i === bad ? "bad-text" : undefined}>
                  {cell}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

interface DeadProps {
  client: Client;
  groups: readonly Group[];
  mayReplay: boolean;
  onDone: () => void;
}

function Dead({ client, groups, mayReplay, onDone }: DeadProps) {
  const [said, setSaid] = useState("");
  async function replay({ channel, provider, workflow, reason, letters }: Group) {
    try {
      const body = { channel, provider, workflow, reason: reason.slice(0, 200) };
      const done = await client.call<{ letters: number }>({
        method: "POST",
        path: "/v1/dead-letters/replay",
        body,
        retries: 0,
      });
      setSaid(`${done.letters} of ${letters} are on their way again.`);
    } catch (thrown) {
      setSaid(thrown instanceof ClarionError ? thrown.detail : "Something went wrong.");
    }
    onDone();
  }
  return (
    <section className="card" aria-labelledby="overview-dead">
      <h3 id="overview-dead">Dead letters</h3>
      <p role="status" className="muted">
        {said || (groups.length === 0 ? "None: whatever could be sent was sent." : "Of all time, the most first.")}
      </p>
      <ul className="overview-dead" aria-label="Dead letters by reason">
        {groups.slice(0, 10).map((group) => (
          <li
            key={[group.channel, group.provider, group.workflow, group.reason].join("\n")}
            data-testid="overview-dead"
          >
            <b>{number(group.letters)}</b>
            <span className="overview-why">
              <span>{group.reason || "no reason"}</span>
              <span className="muted">
                {[group.channel, group.provider, group.workflow].filter(Boolean).join(" · ")} · last{" "}
                {sayWhen(group.last_at)}
              </span>
            </span>
            {mayReplay && (
              <button type="button" className="button small" data-testid="replay" onClick={() => void replay(group)}>
                Send again
              </button>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

/** What has no message, because a step made none: an operator sees it nowhere else. */
function FailedRuns({ items }: { items: Stats["items"] }) {
  if (items.length === 0) return null;
  const told = items.map(({ name, counts }) => `${number(counts["failed"])} of ${name}`);
  return (
    <section className="card" aria-labelledby="overview-runs">
      <h3 id="overview-runs">Runs that failed</h3>
      <p data-testid="overview-runs">{told.join(", ")}</p>
    </section>
  );
}

function height(value: number, most: number): number {
  return value === 0 ? 0 : Math.max(1.5, (56 * value) / most);
}

function number(value = 0): string {
  return value.toLocaleString("en");
}

function took(found: Took | undefined): string {
  return found ? `${span(found.p50)} · ${span(found.p99)}` : "–";
}

function share(rate: number | undefined): string {
  return rate === undefined ? "–" : `${Math.round(rate * 1000) / 10} %`;
}

/** Milliseconds for a person. */
function span(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${Math.round(ms / 100) / 10} s`;
  if (ms < 2 * HOUR_MS) return `${Math.round(ms / 60_000)} min`;
  return `${Math.round(ms / HOUR_MS)} h`;
}
