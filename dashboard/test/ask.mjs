// Asks questions as the dashboard's pages do, by its own data layer, for a test that is no page:
// `node test/ask.mjs URL KEY` takes [[path, params], …] as JSON and writes the answers as JSON.
import { text } from "node:stream/consumers";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { createServer } from "vite";

const [server, key] = process.argv.slice(2);
const vite = await createServer({
  configFile: false,
  root: new URL("..", import.meta.url).pathname,
  plugins: [svelte()],
  appType: "custom",
  logLevel: "error",
  optimizeDeps: { noDiscovery: true },
  server: { middlewareMode: true, ws: false, watch: null },
});
try {
  const { ask, asker } = await vite.ssrLoadModule("/src/lib/api.ts");
  // A page's addresses are of its own server.
  const fetched = globalThis.fetch;
  globalThis.fetch = (address, options) => fetched(new URL(address, server), options);
  // Where pages have a cookie or the token of a share link.
  asker.token = key;
  const answers = [];
  for (const [path, params] of JSON.parse(await text(process.stdin))) {
    const result = await ask(path, params);
    answers.push(result.ok ? result.data : { error: result.error });
  }
  process.stdout.write(JSON.stringify(answers));
} finally {
  await vite.close();
}
