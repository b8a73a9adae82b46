/** What happens on the wire: for people who build on it. */

import type { Client, Position, Publication, Readable, TopicView } from "@clarion/client";
import { useEffect, useState } from "react";
import { sayClock } from "./time.ts";
import { useStore } from "./use-store.ts";

const SHOWN = 6;

export function ConnectionCard({ client }: { client: Client }) {
  const { status, since } = useStore(client.connection);
  // Renders again whenever the inbox changes, and with it the topic below.
  useStore(client.inbox);
  const topic = client.inbox.topic;
  return (
    <section className="card wire" aria-labelledby="wire-title">
      <h2 id="wire-title">On the wire</h2>
      <dl className="facts">
        <div>
          <dt>{status === "live" ? "Live since" : "Since"}</dt>
          <dd>{sayClock(since)}</dd>
        </div>
        <div>
          <dt>Topic</dt>
          <dd className="mono">{topic?.name ?? "–"}</dd>
        </div>
        {topic && <TopicFacts topic={topic} />}
      </dl>
      {topic ? <Publications key={topic.name} client={client} /> : null}
    </section>
  );
}

function TopicFacts({ topic }: { topic: Readable<TopicView<unknown>> }) {
  const { position, recovered } = topic.getSnapshot();
  return (
    <>
      <div>
        <dt>Position</dt>
        <dd className="mono" data-testid="position" data-offset={position?.offset}>
          {position ? sayPosition(position) : "–"}
        </dd>
      </div>
      <div>
        <dt>Last answer</dt>
        <dd data-testid="recovered" data-recovered={recovered}>
          {recovered === null ? "–" : recovered ? "Recovered, nothing missed" : "Snapshot"}
        </dd>
      </div>
    </>
  );
}

function sayPosition({ epoch, offset }: Position): string {
  return `${epoch} · ${offset}`;
}

interface Seen {
  readonly at: number;
  readonly publication: Publication;
}

function Publications({ client }: { client: Client }) {
  const [seen, setSeen] = useState<readonly Seen[]>([]);
  const topic = client.inbox.topic;
  useEffect(
    () =>
      topic?.arrived.listen(({ publications }) => {
        const at = Date.now();
        const newest = publications.map((publication) => ({ at, publication })).reverse();
        setSeen((before) => [...newest, ...before].slice(0, SHOWN));
      }),
    [topic],
  );
  return (
    <>
      <h3>Publications</h3>
      {seen.length === 0 && <p className="muted">None since this page was opened.</p>}
      <ol className="publications">
        {seen.map(({ at, publication }) => (
          <li key={publication.offset}>
            <span className="mono muted">{sayClock(at)}</span>
            <span className="mono">{publication.event}</span>
            <span className="mono muted">{publication.offset}</span>
          </li>
        ))}
      </ol>
    </>
  );
}
