import type { Page } from "../../pages";

export const boards: Page = {
  path: "/boards",
  title: "Boards",
  icon: "M2.5 2.5h5v5h-5zM9.5 2.5h4v3h-4zM2.5 9.5h5v4h-5zM9.5 7.5h4v6h-4z",
  group: "ask",
  order: 65,
  key: "b",
  keywords: "insights, dashboards, saved, charts",
  load: () => import("./Boards.svelte"),
};
