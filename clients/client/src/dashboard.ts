/** A dashboard: its widgets, each with what it shows now, for whatever draws them (docs/explanation/dashboards.md). */

import type { Client } from "./client.ts";
import type { ClarionError } from "./errors.ts";
import type { LiveTopic } from "./live/live-topic.ts";
import type { Readable } from "./store.ts";
import type { TopicStatus } from "./topic.ts";
import { isObject, type Published } from "./wire.ts";

export type WidgetType = "stat" | "gauge" | "series" | "bar" | "table" | "text" | "status";

/** What a widget is; beside these members what its type takes. */
export interface WidgetDefinition {
  readonly type: WidgetType;
  readonly id: string;
  readonly title: string;
  readonly place: { readonly x: number; readonly y: number; readonly w: number; readonly h: number } | null;
  /** Given nothing for so long (s), it is old. */
  readonly stale_after_s?: number;
  readonly [member: string]: unknown;
}

/** Points in columns, as drawing libraries take them: times (ms since 1970), and of each line a number or null for each of them. */
export interface Columns {
  readonly t: readonly number[];
  readonly v: readonly (readonly (number | null)[])[];
}

/** What a widget has: what its type has (`value`, `t` and `v`, `bars`, `rows`, `text`, `items`), and about it: */
export interface WidgetData {
  /** When it was given this (ms since 1970). */
  readonly at?: number;
  /** Its source gives nothing since then (ms since 1970), and why: an error's code. */
  readonly stale?: { readonly since: number; readonly code: string };
  /** Alerts that are broken, and since when (ms since 1970). */
  readonly alerts?: Readonly<Record<string, { readonly state: "pending" | "firing"; readonly since: number }>>;
  readonly [member: string]: unknown;
}

export interface Widget {
  readonly definition: WidgetDefinition;
  /** The same object until it changes; undefined: it has nothing yet. */
  readonly data: WidgetData | undefined;
}

export interface DashboardView {
  readonly status: TopicStatus;
  readonly title: string;
  /** Cells in a row of its grid. */
  readonly columns: number;
  /** In their order. A widget that did not change stays the same object. */
  readonly widgets: readonly Widget[];
  /** Its definition and its widgets are here. */
  readonly isWhole: boolean;
  readonly error: ClarionError | null;
}

const NOTHING: DashboardView = { status: "idle", title: "", columns: 12, widgets: [], isWhole: false, error: null };

const known = new WeakMap<LiveTopic, Dashboard>();

/** The dashboard `dashboard:<id>`, followed while anybody watches (`subscribe`); shared by all who ask for it. */
export function dashboard(client: Client, id: string): Dashboard {
  const topic = client.topic(`dashboard:${id}`);
  const found = known.get(topic) ?? new Dashboard(topic);
  known.set(topic, found);
  return found;
}

export class Dashboard implements Readable<DashboardView> {
  readonly #topic: LiveTopic;
  #seen: unknown;
  #view = NOTHING;
  #definition: unknown;
  #widgets = new Map<string, Widget>();

  constructor(topic: LiveTopic) {
    this.#topic = topic;
  }

  getSnapshot(): DashboardView {
    const seen = this.#topic.snapshot;
    if (this.#seen !== seen) {
      this.#seen = seen;
      this.#view = this.#look();
    }
    return this.#view;
  }

  /** Watches it: calls back after each change. */
  subscribe(listener: () => void): () => void {
    return this.#topic.subscribe(listener);
  }

  /** Sets what a widget shows. */
  set(widget: string, data: unknown): Promise<Published> {
    return this.#topic.publish("set", data, { key: widget });
  }

  /** Adds points to a chart; without `t` one of now. */
  append(widget: string, points: { readonly t?: readonly number[]; readonly v: Columns["v"] }): Promise<Published> {
    return this.#topic.publish("append", points, { key: widget });
  }

  /** Adds to a number, or to bars by their names; once, however often it is tried. */
  increment(widget: string, by: number | Readonly<Record<string, number>> = 1): Promise<Published> {
    return this.#topic.publish("increment", by, { key: widget });
  }

  #look(): DashboardView {
    const { items, status, isWhole, error } = this.#topic.snapshot;
    const definition = items.get("definition")?.data;
    if (!isObject(definition) || !Array.isArray(definition["widgets"])) return { ...NOTHING, status, error };
    const isSame = definition === this.#definition;
    this.#definition = definition;
    const widgets = (definition["widgets"] as WidgetDefinition[]).map((each) => {
      const data = items.get(each.id)?.data as WidgetData | undefined;
      const before = this.#widgets.get(each.id);
      return isSame && before && before.data === data ? before : { definition: each, data };
    });
    this.#widgets = new Map(widgets.map((widget) => [widget.definition.id, widget]));
    const { title, columns } = definition;
    return { status, title: String(title), columns: Number(columns), widgets, isWhole, error };
  }
}

/** Whether what a widget shows is old: its source gives nothing, or nothing was given for `stale_after_s`. */
export function isStale({ definition, data }: Widget, now = Date.now()): boolean {
  if (data?.stale) return true;
  const { stale_after_s: after, source } = definition;
  // What a source gives and is as it was is not said again.
  return after !== undefined && source === undefined && data?.at !== undefined && now - data.at > after * 1000;
}

/** The points of a chart, or of a number's trend; of more than `width` (a whole number of pixels, 3 at least) those that keep the shape of the lines. */
export function points({ data }: Widget, width = Number.POSITIVE_INFINITY): Columns | null {
  if (!data || !Array.isArray(data["t"]) || !Array.isArray(data["v"])) return null;
  return fewer({ t: data["t"], v: data["v"] }, width);
}

/** At most `width` points, chosen for each line in turn, so that all lines have the same times. */
export function fewer({ t, v }: Columns, width: number): Columns {
  if (t.length <= width) return { t, v };
  const share = Math.max(3, Math.floor(width / Math.max(1, v.length)));
  const chosen = new Set(v.flatMap((column) => shape(t, column, share)));
  let places = [...chosen].sort((one, other) => one - other);
  if (places.length > width) {
    // More lines than there are to be points for: some of them, evenly.
    const last = places.length - 1;
    places = Array.from({ length: width }, (_, n) => places[Math.floor((n * last) / (width - 1))] ?? 0);
  }
  return { t: places.map((n) => t[n] ?? 0), v: v.map((column) => places.map((n) => column[n] ?? null)) };
}

/** Places of the points that keep a line's shape: the first, the last, and of each stretch between the one that sticks out (largest triangle three buckets). */
function shape(t: readonly number[], v: readonly (number | null)[], most: number): number[] {
  const chosen = [0];
  const stretch = (t.length - 2) / (most - 2);
  const edge = (n: number) => Math.min(Math.floor(n * stretch) + 1, t.length);
  let last = 0;
  for (let bucket = 0; bucket < most - 2; bucket++) {
    const [begin, end, behind] = [edge(bucket), edge(bucket + 1), edge(bucket + 2)];
    const middleT = mean(t.slice(end, behind));
    const middleV = mean(v.slice(end, behind).filter((number) => number !== null));
    const [fromT, fromV] = [t[last] ?? 0, v[last] ?? 0];
    let [best, largest] = [begin, -1];
    for (let n = begin; n < end; n++) {
      const number = v[n];
      if (number === null || number === undefined) continue;
      const area = Math.abs((fromT - middleT) * (number - fromV) - (fromT - (t[n] ?? 0)) * (middleV - fromV));
      if (area > largest) [best, largest] = [n, area];
    }
    chosen.push(best);
    last = best;
  }
  return [...chosen, t.length - 1];
}

function mean(numbers: readonly number[]): number {
  return numbers.length ? numbers.reduce((sum, number) => sum + number, 0) / numbers.length : 0;
}
