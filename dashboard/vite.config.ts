import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig, type Plugin } from "vite";

// Where the API is while the dashboard is being worked on: `threadline demo`.
const API = process.env.THREADLINE_URL ?? "http://127.0.0.1:8787";

// The letters that nearly every page needs come together with the page, so that no line jumps when
// they arrive.
function preloadFont(): Plugin {
  return {
    name: "preload-font",
    transformIndexHtml: {
      order: "post",
      handler(html, { bundle }) {
        const font = Object.keys(bundle ?? {}).find((name) =>
          /inter-latin-wght.*woff2$/.test(name),
        );
        if (!font) return html;
        const link = `<link rel="preload" as="font" type="font/woff2" crossorigin href="/dashboard/${font}">`;
        return html.replace("</title>", `</title>\n    ${link}`);
      },
    },
  };
}

export default defineConfig({
  base: "/dashboard/",
  // Only the page says where it lies, and the server writes a prefix into that; every other file
  // finds its neighbours from where it is itself.
  experimental: {
    renderBuiltUrl: (file, { hostType }) =>
      hostType === "html" ? `/dashboard/${file}` : { relative: true },
  },
  plugins: [svelte(), preloadFont()],
  build: {
    outDir: "../src/threadline/web/dashboard",
    emptyOutDir: true,
    // The policy of the page lets nothing in that is written into it, `data:` fonts included.
    assetsInlineLimit: 0,
    target: ["chrome111", "firefox115", "safari16.4"],
    manifest: true,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/v1": { target: API }, "/openapi.json": { target: API } } },
});
