// The touches of one conversion, as its drawing and its table have them.

import type { AnswerOf } from "../../lib/api";
import { clock, day } from "../../lib/format";
import { view } from "../../lib/view.svelte";

export type Touch = AnswerOf<"/v1/attribution/why">["touches"][number];

/** Pixels: of each touch, of the models' names on the left, of the goal on the right. */
export const EACH = 104;
export const LEFT = 120;
export const RIGHT = 96;

/** Whether so many touches can be drawn side by side in that many pixels. */
export const hasRoom = (touches: number, width: number) => width - LEFT - RIGHT >= touches * EACH;

/** What a model gives it, from 0 to 1, under the page's policy. */
export const shareOf = (touch: Touch, model: string) => touch.credit[view.policy]?.[model] ?? 0;
export const sourceOf = (touch: Touch) =>
  touch.source === "direct" ? "direct" : [touch.source, touch.medium].filter(Boolean).join(" / ");
export const whenOf = (time: string) => `${day(time, view.tz)} ${clock(time, view.tz)}`;
