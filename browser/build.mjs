// Builds the package (`dist/`) and what the server serves (`src/threadline/web/built/`), then shows
// what each costs a page. With `--check` it fails where that is too much: another compressor may
// take some bytes more, and nobody who only builds can do anything about it.

import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";

const HERE = dirname(fileURLToPath(import.meta.url));
const SERVED = join(HERE, "..", "src", "threadline", "web", "built");
const PACKAGE = join(HERE, "dist");
const MAX_BYTES = 2200;
const ADDONS = readdirSync(join(HERE, "src", "addons"))
  .map((file) => basename(file, ".ts"))
  .filter((name) => name != "site");

/** As a script tag runs an add-on: with the client that is there when something happens. */
const addonScript = (name) =>
  name == "cross-domain"
    ? `import { start } from "./cross-domain"; start(document.currentScript.dataset);`
    : name == "group"
      ? `import { addTo } from "./group";
       const client = self.threadline || self.mm;
       client ? addTo(client, client) : console.warn("group.js: load it after a.js");`
      : `import { start } from "./${name}";
       const call = (name) => (...given) => (self.threadline || self.mm)?.[name]?.(...given);
       start({ track: call("track"), flush: call("flush") });`;

const outputs = [
  { file: join(PACKAGE, "index.js"), entry: "src/index.ts", format: "esm", max: MAX_BYTES },
  { file: join(SERVED, "a.js"), entry: "src/loader.ts", format: "iife", max: MAX_BYTES },
  ...ADDONS.flatMap((name) => [
    { file: join(PACKAGE, "addons", `${name}.js`), entry: `src/addons/${name}.ts`, format: "esm" },
    { file: join(SERVED, "addons", `${name}.js`), source: addonScript(name), format: "iife" },
  ]),
];

/** esbuild bundles; terser, after it, takes another percent or two off. */
async function bundle({ file, entry, source, format }) {
  const input = entry
    ? { entryPoints: [join(HERE, entry)] }
    : { stdin: { contents: source, resolveDir: join(HERE, "src", "addons"), loader: "ts" } };
  const bundled = await build({
    ...input,
    absWorkingDir: HERE,
    bundle: true,
    minify: true,
    format,
    target: "es2021",
    outfile: file,
    // In a page there is one; where a server renders, the package finds none and does nothing.
    define: format == "iife" ? { "globalThis.document": "document" } : {},
    sourcemap: "external",
    write: false,
    // No "use strict" where a script does not need it.
    tsconfigRaw: "{}",
  });
  const text = (end) => bundled.outputFiles.find(({ path }) => path.endsWith(end)).text;
  const name = basename(file);
  const { code, map } = await minify(
    { [name]: text(".js") },
    {
      ecma: 2020,
      // Of a script, every name outside of a function would be the page's, too.
      module: format == "esm",
      compress: { passes: 3, unsafe: true, pure_getters: true, booleans_as_integers: true },
      sourceMap: { content: text(".map"), filename: name, includeSources: true },
    },
  );
  mkdirSync(dirname(file), { recursive: true });
  // The address of the map goes into a header, so that it costs nothing; a package needs it inside.
  const pointer = file.startsWith(PACKAGE) ? `\n//# sourceMappingURL=${name}.map\n` : "";
  writeFileSync(file, code + pointer);
  writeFileSync(`${file}.map`, map);
  return gzipSync(code, { level: 9 }).length;
}

for (const folder of [PACKAGE, SERVED]) rmSync(folder, { recursive: true, force: true });
const checking = process.argv.includes("--check");
let tooLarge = false;
for (const output of outputs) {
  const bytes = await bundle(output);
  const over = bytes > (output.max ?? Infinity);
  tooLarge ||= over;
  const limit = output.max ? ` of at most ${output.max}` : "";
  const name = output.file.slice(dirname(HERE).length + 1);
  if (checking || over)
    console.log(`  ${name}: ${bytes} bytes gzipped${limit}${over ? "  TOO LARGE" : ""}`);
}
process.exit(checking && tooLarge ? 1 : 0);
