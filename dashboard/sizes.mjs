// What a browser loads before the overview is there, packed as a server sends it, and what a
// conversation loads of each app (apps.mjs); `--check`: no list of it. Fails where it is too much.
import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const OUT = new URL("../src/threadline/web/dashboard/", import.meta.url);
const APPS = new URL("../src/threadline/web/apps/", import.meta.url);
const MOST = 120 * 1024;
const MOST_OF_APP = 48 * 1024;
const manifest = JSON.parse(readFileSync(new URL(".vite/manifest.json", OUT), "utf8"));
const sizes = new Map();

function size(file, folder = OUT) {
  const body = readFileSync(new URL(file, folder));
  // Fonts are packed already.
  return file.endsWith(".woff2") ? body.length : gzipSync(body, { level: 9 }).length;
}

/** A chunk with whatever it needs at once. */
function collect(name, found = new Set()) {
  const chunk = manifest[name];
  if (!chunk || found.has(chunk.file)) return found;
  found.add(chunk.file);
  for (const css of chunk.css ?? []) found.add(css);
  for (const other of chunk.imports ?? []) collect(other, found);
  return found;
}

const first = collect("index.html");
collect("src/pages/overview/Overview.svelte", first);
for (const [, { file }] of Object.entries(manifest)) {
  if (/inter-latin-wght.*woff2$/.test(file)) first.add(file);
}
first.add("index.html").add("theme.js");
let total = 0;
for (const file of first) {
  sizes.set(file, size(file));
  total += size(file);
}
const pages = Object.values(manifest)
  .filter(({ file, isDynamicEntry }) => isDynamicEntry && !first.has(file))
  .map(({ file }) => [file, size(file)]);

if (!process.argv.includes("--check")) {
  for (const [file, bytes] of sizes) console.log(`${String(bytes).padStart(8)}  ${file}`);
  for (const [file, bytes] of pages) console.log(`${String(bytes).padStart(8)}  later: ${file}`);
}
console.log(`${String(total).padStart(8)}  bytes before the overview, at most ${MOST}`);
const tooMuch = total > MOST ? ["the overview"] : [];
for (const name of readdirSync(APPS).sort()) {
  const bytes = size(name, APPS);
  console.log(`${String(bytes).padStart(8)}  bytes of the app ${name}, at most ${MOST_OF_APP}`);
  if (bytes > MOST_OF_APP) tooMuch.push(name);
}
if (tooMuch.length) {
  console.error(`That is too much: ${tooMuch.join(", ")}.`);
  process.exit(1);
}
