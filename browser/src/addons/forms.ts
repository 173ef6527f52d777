// `$form_submit`: a form was sent. Which one, never what was typed into it.

import type { Tracker } from "./site";

export const start = (tracker: Tracker) =>
  addEventListener(
    "submit",
    (event) => {
      const form = event.target as HTMLFormElement;
      // By attribute: a field may be called `id` or `action`, too.
      const said = (name: string) => form.getAttribute(name) ?? undefined;
      tracker.track("$form_submit", {
        form: said("id") ?? said("name"),
        action: said("action")?.split("?")[0],
      });
    },
    true,
  );
