import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

// With Svelte's plugin, because what `src/lib` shares between pages may be runes.
export default defineConfig({
  plugins: [svelte()],
  test: { include: ["test/**/*.test.ts"], restoreMocks: true },
});
