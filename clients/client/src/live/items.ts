/**
 * The items of a map: a snapshot that may come in pages, and publications beside it. Whatever the order in which they
 * arrive, the state is the server's: of two that speak of one key, the one with the higher offset is right.
 */

import { type ItemPage, isItemPage, isObject, type Publication, type WireItem } from "../wire.ts";

export interface Item {
  readonly data: unknown;
  /** Of the publication that changed it last; for `if: {at: offset}`. */
  readonly offset: number;
}

/** A change of an item as an application wants to hear of it; `data` of a removal is its reason. */
export interface ItemChange {
  readonly event: string;
  readonly key: string;
  readonly data: unknown;
  readonly offset: number;
}

export class Items {
  /** By key, in no order. One map for as long as the snapshot counts: copying it for each change would cost its size. */
  readonly values = new Map<string, Item>();
  /** The key behind which the page begins that is missing; null: the state is whole. */
  next: string | null = null;
  // Only while pages are missing, by key: what they might bring again, and what has to be done to what they bring.
  readonly #removed = new Map<string, number>();
  readonly #differences = new Map<string, Publication[]>();

  constructor(snapshot: ItemPage) {
    this.page(snapshot);
  }

  /** Takes a publication. Returns what it changes of what is known; null: nothing yet. */
  apply(publication: Publication): ItemChange | null {
    const { event, key, offset } = publication;
    // A page may have been ahead of the log.
    if (key === undefined || (this.values.get(key)?.offset ?? 0) >= offset) return null;
    if (event === "remove") {
      this.values.delete(key);
      this.#differences.delete(key);
      if (this.next !== null) this.#removed.set(key, offset);
      return { event, key, data: publication.data, offset };
    }
    const before = this.values.get(key);
    if (!before && (publication.patch !== undefined || event === "append")) {
      // What it is a change of is on a page that is missing.
      if (this.next !== null) this.#differences.set(key, [...(this.#differences.get(key) ?? []), publication]);
      return null;
    }
    this.#differences.delete(key);
    const data = after(before?.data, publication);
    this.values.set(key, { data, offset });
    return { event, key, data, offset };
  }

  /** Takes a page. */
  page(page: ItemPage): void {
    for (const item of page.items) this.#put(item);
    const last = page.next ?? page.items.at(-1)?.key;
    this.next = page.more && last !== undefined ? last : null;
    if (this.next !== null) return;
    this.#removed.clear();
    this.#differences.clear();
  }

  #put({ key, data, offset }: WireItem): void {
    const known = this.values.get(key)?.offset ?? this.#removed.get(key) ?? 0;
    if (known >= offset) return;
    const later = (this.#differences.get(key) ?? []).filter((publication) => publication.offset > offset);
    this.#differences.delete(key);
    this.values.set(key, {
      data: later.reduce(after, data),
      offset: later.at(-1)?.offset ?? offset,
    });
  }
}

/** The snapshot of a map, or null where it is something else. */
export function itemsOf(snapshot: unknown): Items | null {
  return isItemPage(snapshot) ? new Items(snapshot) : null;
}

/** An item's value after a publication that does not remove it. */
function after(before: unknown, { event, data, patch }: Publication): unknown {
  if (patch !== undefined) return patched(before, patch);
  return event === "append" && isObject(data) ? grown(before, data) : data;
}

/** What an append makes of a value, which stays as it is: a merge patch whose arrays are columns that grow. */
export function grown(before: unknown, by: Readonly<Record<string, unknown>>): unknown {
  const [pop, drop] = [Number(by["pop"] ?? 0), Number(by["drop"] ?? 0)];
  const grow = (value: unknown, add: unknown): unknown => {
    if (isObject(add)) {
      const after: Record<string, unknown> = isObject(value) ? { ...value } : {};
      for (const [name, more] of Object.entries(add)) {
        if (more === null) delete after[name];
        else after[name] = grow(after[name], more);
      }
      return after;
    }
    if (!Array.isArray(add)) return add;
    const known: readonly unknown[] = Array.isArray(value) ? value : [];
    if (Array.isArray(add[0])) return add.map((column, place) => grow(known[place], column));
    return [...known.slice(0, known.length - pop), ...add].slice(drop);
  };
  return grow(before, by["add"]);
}

/** What a merge patch makes of a value, which stays as it is (RFC 7396 §2). */
export function patched(before: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const after: Record<string, unknown> = isObject(before) ? { ...before } : {};
  for (const [name, change] of Object.entries(patch)) {
    if (change === null) delete after[name];
    else after[name] = patched(after[name], change);
  }
  return after;
}
