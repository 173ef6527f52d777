// `<button data-mm-event="chose_plan" data-mm-plan="pro">`: an event without a line of script.

import { around, type Tracker } from "./site";

const PREFIX = "data-mm-";

export const start = (tracker: Tracker) =>
  addEventListener(
    "click",
    (event) => {
      const element = around<HTMLElement>(event, `[${PREFIX}event]`);
      if (!element) return;
      const said = [...element.attributes]
        .filter(({ name }) => name.startsWith(PREFIX))
        .map(({ name, value }) => [name.slice(PREFIX.length), value]);
      const { event: name, ...properties } = Object.fromEntries(said);
      if (name) tracker.track(name, properties);
    },
    true,
  );
