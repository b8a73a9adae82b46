/** Messages that were kept instead of sent: a list, and one of them as it was rendered. */

import { ClarionError, type Client } from "@clarion/client";
import { useCallback, useEffect, useRef, useState } from "react";
import { sayAgo, sayWhen } from "./time.ts";
import { useNow } from "./use-store.ts";

export interface Capture {
  readonly id: string;
  readonly channel: string;
  readonly user: string;
  readonly address: string;
  readonly workflow: string;
  readonly message: string;
  readonly content: Readonly<Record<string, unknown>>;
  readonly html_url: string | null;
  readonly at: string;
}

export interface CapturePage {
  readonly mode: "live" | "allowlist" | "capture";
  readonly items: readonly Capture[];
  readonly next: string | null;
}

const LOOK_MS = 4_000;
const PAGE = 50;
const MODES: Record<CapturePage["mode"], string> = {
  live: "Messages are sent; what is here was kept before.",
  allowlist: "Only people on the list are reached. What would have gone to others is kept here.",
  capture: "Nothing leaves this server. What would have been sent is kept here.",
};

/** A page of captures, or null where the user may not see them. */
export async function lookAtCaptures(client: Client, limit: number, before = ""): Promise<CapturePage | null> {
  const behind = before && `&before=${encodeURIComponent(before)}`;
  try {
    return await client.call<CapturePage>({ method: "GET", path: `/v1/captures?limit=${limit}${behind}`, retries: 1 });
  } catch (thrown) {
    if (thrown instanceof ClarionError && thrown.status === 403) return null;
    throw thrown;
  }
}

export function Captures({ client }: { client: Client }) {
  const [page, setPage] = useState<CapturePage | null>(null);
  const [older, setOlder] = useState<readonly Capture[]>([]);
  const [next, setNext] = useState<string | null>(null);
  const [trouble, setTrouble] = useState<string | null>(null);
  const [chosen, setChosen] = useState<string | null>(null);
  const heading = useRef<HTMLHeadingElement>(null);

  const look = useCallback(async () => {
    try {
      const found = await lookAtCaptures(client, PAGE);
      setPage(found);
      setTrouble(found ? null : "You may not see what was kept.");
    } catch (thrown) {
      setTrouble(thrown instanceof ClarionError ? thrown.detail : "Something went wrong.");
    }
  }, [client]);
  useEffect(() => {
    void look();
    const timer = setInterval(() => document.visibilityState === "visible" && void look(), LOOK_MS);
    return () => clearInterval(timer);
  }, [look]);

  const items = page ? [...page.items, ...older.filter(({ id }) => !page.items.some((each) => each.id === id))] : [];
  const cursor = older.length > 0 ? next : (page?.next ?? null);

  async function more() {
    if (!cursor) return;
    const found = await lookAtCaptures(client, PAGE, cursor).catch(() => null);
    if (!found) return;
    setOlder([...older, ...found.items]);
    setNext(found.next);
  }

  async function clear() {
    await client.call({ method: "DELETE", path: "/v1/captures" }).catch(() => null);
    setOlder([]);
    setChosen(null);
    await look();
    heading.current?.focus();
  }

  return (
    <main className="captures" data-testid="captures" data-chosen={chosen ? "yes" : "no"}>
      <section className="card captures-list" aria-labelledby="captures-title">
        <div className="captures-head">
          <h2 id="captures-title" ref={heading} tabIndex={-1}>
            Captured messages
          </h2>
          {items.length > 0 && (
            <button type="button" className="button small" data-testid="clear-captures" onClick={() => void clear()}>
              Clear
            </button>
          )}
        </div>
        {page && <p className="muted">{MODES[page.mode]}</p>}
        {trouble && (
          <p className="bad-text" role="alert">
            {trouble}
          </p>
        )}
        {page && items.length === 0 && <p className="muted">Nothing yet. Trigger a workflow that sends something.</p>}
        <ul className="captures-items">
          {items.map((capture) => (
            <Item
              key={capture.id}
              capture={capture}
              isChosen={capture.id === chosen}
              onChoose={() => setChosen(capture.id)}
            />
          ))}
        </ul>
        {cursor && (
          <button type="button" className="button wide" onClick={() => void more()}>
            Older ones
          </button>
        )}
      </section>
      {chosen ? (
        <Detail key={chosen} client={client} id={chosen} onBack={() => setChosen(null)} />
      ) : (
        <section className="card captures-none muted" aria-hidden="true">
          Choose a message to see it as it was rendered.
        </section>
      )}
    </main>
  );
}

interface ItemProps {
  capture: Capture;
  isChosen: boolean;
  onChoose: () => void;
}

function Item({ capture, isChosen, onChoose }: ItemProps) {
  const now = useNow(30_000);
  return (
    <li>
      <button
        type="button"
        className="captures-item"
        data-testid="capture"
        aria-current={isChosen ? "true" : undefined}
        onClick={onChoose}
      >
        <span className="captures-channel">{capture.channel}</span>
        <span className="captures-what">{titleOf(capture)}</span>
        <span className="captures-to muted">
          {capture.user} · {sayAgo(capture.at, now)}
        </span>
      </button>
    </li>
  );
}

function Detail({ client, id, onBack }: { client: Client; id: string; onBack: () => void }) {
  const [capture, setCapture] = useState<Capture | null>(null);
  const [trouble, setTrouble] = useState<string | null>(null);
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    // Asked for anew: the link to its HTML is good for a while only.
    let isWanted = true;
    client
      .call<Capture>({ method: "GET", path: `/v1/captures/${encodeURIComponent(id)}`, retries: 1 })
      .then((found) => isWanted && setCapture(found))
      .catch(() => isWanted && setTrouble("It is not there any more."));
    return () => {
      isWanted = false;
    };
  }, [client, id]);
  useEffect(() => {
    if (capture) heading.current?.focus();
  }, [capture]);

  return (
    <section className="card captures-detail" aria-label="The message" data-testid="capture-detail">
      <button type="button" className="button small captures-back" onClick={onBack}>
        Back to the list
      </button>
      {trouble && <p className="bad-text">{trouble}</p>}
      {capture && (
        <>
          <h2 ref={heading} tabIndex={-1}>
            {titleOf(capture)}
          </h2>
          <dl className="facts">
            <Fact name="To" value={`${capture.user} · ${capture.address}`} />
            <Fact name="Channel" value={capture.channel} />
            <Fact name="Workflow" value={capture.workflow} />
            <Fact name="When" value={sayWhen(capture.at)} />
          </dl>
          {capture.html_url && (
            <>
              {/* Somebody else's HTML: no scripts, no forms, no origin; the answer's own policy says the same. */}
              <iframe
                className="captures-html"
                title="The message as it was rendered"
                sandbox=""
                referrerPolicy="no-referrer"
                src={client.url + capture.html_url}
              />
              <a href={client.url + capture.html_url} target="_blank" rel="noreferrer">
                Open it in a tab
              </a>
            </>
          )}
          {texts(capture).map(([name, text]) => (
            <div key={name} className="captures-part">
              <h3>{name}</h3>
              <pre>{text}</pre>
            </div>
          ))}
        </>
      )}
    </section>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd className="captures-value">{value || "–"}</dd>
    </div>
  );
}

const TITLES = ["subject", "title", "event", "text", "body"];

function titleOf({ content, channel }: Capture): string {
  const name = titled(content);
  return name ? String(content[name]).trim() : channel;
}

function titled(content: Capture["content"]): string | undefined {
  return TITLES.find((name) => typeof content[name] === "string" && String(content[name]).trim());
}

/** What it says besides its title: texts as they are, all else as JSON. The HTML is shown, not read. */
function texts({ content }: Capture): [string, string][] {
  const title = titled(content);
  return Object.entries(content)
    .filter(([name, value]) => name !== "html" && name !== title && value !== null && value !== "")
    .map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value, null, 2)]);
}
