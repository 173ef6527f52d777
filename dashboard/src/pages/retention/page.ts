import type { Page } from "../../pages";

export const retention: Page = {
  path: "/retention",
  title: "Retention",
  icon: "M2 3h12M2 6.5h9M2 10h6M2 13.5h3",
  group: "ask",
  order: 50,
  key: "r",
  keywords: "cohorts, come back, churn",
  load: () => import("./Retention.svelte"),
};
