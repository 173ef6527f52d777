// `$engagement`: how far down a page somebody got, and for how long they were at it, told when the
// page is left, hidden, or changed for another inside of it.

import type { Tracker } from "./site";

const TICK_MS = 1000;
/** Who does nothing for so long is not at it. */
const IDLE_TICKS = 15;
const SIGNS = ["pointermove", "pointerdown", "keydown", "scroll", "touchmove"];

export const start = (tracker: Tracker) => {
  let path = location.pathname;
  let seconds = 0;
  let deepest = 0;
  let idle = 0;

  const look = () => {
    const height = document.documentElement.scrollHeight;
    const seen = height ? ((scrollY + innerHeight) / height) * 100 : 100;
    deepest = Math.max(deepest, Math.min(100, Math.round(seen)));
  };
  const tell = () => {
    if (seconds || deepest)
      tracker.track("$engagement", { page: path, seconds, scroll_percent: deepest });
    path = location.pathname;
    seconds = deepest = 0;
  };

  for (const sign of SIGNS)
    addEventListener(
      sign,
      () => {
        idle = 0;
        if (sign == "scroll") look();
      },
      { capture: true, passive: true },
    );
  setInterval(() => {
    if (location.pathname != path) tell();
    if (document.hidden) return;
    look();
    if (document.hasFocus() && idle++ < IDLE_TICKS) seconds++;
  }, TICK_MS);
  addEventListener("visibilitychange", () => {
    if (!document.hidden) return;
    tell();
    tracker.flush();
  });
};
