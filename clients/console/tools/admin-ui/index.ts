/**
 * The stock admin page of Socket.IO (`@socket.io/admin-ui`), as the Python server serves it: its files as they come, but with the
 * icons beside them instead of on another site, without that site's fonts, and with the server's address filled in.
 */

import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Below the folder of the built page; not served unless the admin endpoint is on. */
export const FOLDER = "admin-ui";

const ELSEWHERE = /<link rel="stylesheet" href="https:\/\/[^"]*">/g;
const ICONS = '<link rel="stylesheet" href="css/materialdesignicons.min.css">';
const PRESET = '<script src="preset.js" data-path="" data-namespace=""></script>';
// The icons' style sheet names four formats; every browser that runs the page takes the last.
const FONT = "fonts/materialdesignicons-webfont.woff2";

/**
 * @param packages `node_modules`
 * @param web where the page is built
 */
export function copyAdminUi(packages: string, web: string): void {
  const page = join(packages, "@socket.io/admin-ui");
  const icons = join(packages, "@mdi/font");
  const out = join(web, FOLDER);
  cpSync(join(page, "ui/dist"), out, { recursive: true, filter: (path) => !path.endsWith(".map") });
  cpSync(join(page, "LICENSE"), join(out, "LICENSE.txt"));
  mkdirSync(join(out, "fonts"), { recursive: true });
  cpSync(join(icons, FONT), join(out, FONT));
  cpSync(join(icons, "css/materialdesignicons.min.css"), join(out, "css/materialdesignicons.min.css"));
  cpSync(join(icons, "LICENSE"), join(out, "fonts/LICENSE.txt"));
  cpSync(join(import.meta.dirname, "preset.js"), join(out, "preset.js"));
  const html = readFileSync(join(out, "index.html"), "utf8");
  const changed = html.replaceAll(ELSEWHERE, "").replace("</head>", `${ICONS}</head>`);
  writeFileSync(join(out, "index.html"), changed.replace('<div id="app"></div>', `<div id="app"></div>${PRESET}`));
}
