// What MCP hosts show in a conversation (docs/mcp.md): of each app one page with everything in it,
// because a host loads it as one resource and lets it fetch nothing.
import { createHash } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { build } from "vite";

const ROOT = fileURLToPath(new URL(".", import.meta.url));
const OUT = new URL("../src/threadline/web/apps/", import.meta.url);
const APPS = { journey: "Journey", attribution: "Attribution" };

/** The script and the styles of an app; nothing else may come of it. */
async function parts(name) {
  const { output } = await build({
    root: ROOT,
    configFile: false,
    publicDir: false,
    logLevel: "warn",
    plugins: [svelte()],
    build: {
      write: false,
      cssCodeSplit: false,
      modulePreload: false,
      target: ["chrome111", "firefox115", "safari16.4"],
      rolldownOptions: {
        input: `${ROOT}src/apps/${name}.ts`,
        output: { format: "iife", codeSplitting: false },
      },
    },
  });
  const scripts = output.filter(({ type }) => type === "chunk");
  const styles = output.filter(({ fileName }) => fileName.endsWith(".css"));
  if (scripts.length !== 1 || styles.length !== 1 || output.length !== 2)
    throw new Error(
      `${name} is not one script and one style sheet: ${output.map((o) => o.fileName)}`,
    );
  if (/url\(|@import/.test(styles[0].source)) throw new Error(`${name} has styles that fetch.`);
  return { script: scripts[0].code.trim(), style: String(styles[0].source).trim() };
}

/** Script as it may stand in a page: what would end it there is written in another way. */
const inside = (script) => script.replace(/<(?=\/script|script|!--)/gi, "\\x3C");
const hash = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

function page(title, script, style) {
  const policy = [
    "default-src 'none'",
    `script-src ${hash(script)}`,
    `style-src ${hash(style)}`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${style}</style>
</head>
<body>
<div id="app"></div>
<script>${script}</script>
</body>
</html>
`;
}

rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT, { recursive: true });
for (const [name, title] of Object.entries(APPS)) {
  const { script, style } = await parts(name);
  writeFileSync(new URL(`${name}.html`, OUT), page(title, inside(script), style));
}
