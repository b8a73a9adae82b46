/** Which links of a notification may be followed. The server checks them, too; a page trusts nobody with `javascript:`. */

export interface Link {
  readonly href: string;
  /** Where it leads, for people. */
  readonly label: string;
  readonly isExternal: boolean;
}

/** http(s), mailto, or a path on the same site; anything else is no link. */
export function safeLink(text: string | null, base: string = location.href): Link | null {
  if (!text) return null;
  let url: URL;
  try {
    url = new URL(text, base);
  } catch {
    return null;
  }
  if (url.protocol === "mailto:") return { href: url.href, label: `Write to ${url.pathname}`, isExternal: false };
  if (url.protocol !== "http:" && url.protocol !== "https:") return null;
  const isExternal = url.origin !== new URL(base).origin;
  return { href: url.href, label: isExternal ? `Open ${url.host}` : "Open", isExternal };
}
