/** Live search: the results of a query in their order, kept true as documents change (docs/explanation/search.md). */

import type { Client } from "./client.ts";
import { ClarionError } from "./errors.ts";
import type { Kind } from "./follower.ts";
import type { Topic } from "./topic.ts";
import { isObject } from "./wire.ts";

export interface SearchQuery {
  /** Words, `prefix*`, `"a phrase"`. */
  readonly text?: string;
  readonly where?: Readonly<Record<string, unknown>>;
  /** Fields, with `-` before those that fall. */
  readonly sort?: readonly string[];
  /** How many documents are seen: 1 to 100, 20 unless given. */
  readonly limit?: number;
}

export interface Hit<Data> {
  readonly id: string;
  readonly data: Data;
  /** As its writer gave it; 0: none. */
  readonly version: number;
  /** Of its newest change. */
  readonly offset: number;
}

export interface Results<Data> {
  /** The first `limit` documents in the query's order. Those that did not change stay the same objects. */
  readonly items: readonly Hit<Data>[];
  /** There are others behind these. */
  readonly more: boolean;
  /** How many there are in all. */
  readonly total: number;
}

const LIMIT = 20;

/**
 * The results of a query over a collection; they are followed while anybody watches (`subscribe`), and shared by all who ask the same.
 * `getSnapshot().state` is undefined until they are here.
 */
export function search<Data = unknown>(
  client: Client,
  collection: string,
  query: SearchQuery = {},
): Topic<Results<Data>> {
  return client.topic(`search:${collection}`, searchKind<Data>(query.limit), { params: { query } });
}

/** What the publications of `search:<collection>` mean: what entered, changed, moved or left. */
export function searchKind<Data>(limit = LIMIT): Kind<Results<Data>> {
  return {
    start: (snapshot) => results(snapshot, (isObject(snapshot) && snapshot["items"]) as Hit<Data>[]),
    apply: ({ items }, { data }) => {
      const { id, item, at } = (isObject(data) ? data : {}) as { id?: string; item?: Hit<Data>; at?: number };
      if (id === undefined) return results(data, items);
      const now = items.filter((each) => each.id !== id);
      if (item) now.splice(at ?? 0, 0, item);
      return results(data, now.slice(0, limit));
    },
  };
}

function results<Data>(told: unknown, items: readonly Hit<Data>[]): Results<Data> {
  const counts = isObject(told) && told["counts"];
  if (!isObject(told) || !isObject(counts) || !Array.isArray(items)) {
    throw new ClarionError("malformed", "These are no results of a search");
  }
  return { items, more: told["more"] === true, total: Number(counts["total"]) };
}
