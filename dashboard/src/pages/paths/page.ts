import type { Page } from "../../pages";

export const paths: Page = {
  path: "/paths",
  title: "Paths",
  icon: "M2 8h3c4 0 3-5 9-5M5 8c4 0 3 5 9 5M5 8h9",
  group: "ask",
  order: 60,
  key: "w",
  keywords: "ways, flow, sankey, journeys, before, after",
  load: () => import("./Paths.svelte"),
};
