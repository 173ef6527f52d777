import type { Page } from "../../pages";

export const funnels: Page = {
  path: "/funnels",
  title: "Funnels",
  icon: "M2 3h12M4 6.5h8M6 10h4M7.5 13.5h1",
  group: "ask",
  order: 40,
  key: "f",
  keywords: "conversion, steps, drop-off",
  load: () => import("./Funnels.svelte"),
};
