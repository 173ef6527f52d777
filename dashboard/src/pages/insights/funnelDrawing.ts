// A funnel as a drawing that can be taken along; on the page it is a list of buttons.
import type { Schemas } from "../../lib/api";
import { number, percent } from "../../lib/format";
import { stepName } from "./names";

const SVG = "http://www.w3.org/2000/svg";
const ROW = 44;
const NAME = 190;
const BAR = 460;
const WIDTH = NAME + BAR + 150;
const MARGIN = 16;

/** In the colours and letters of where it stands. */
export function funnelDrawing(steps: Schemas["StepResult"][], where: Element): SVGSVGElement {
  const style = getComputedStyle(where);
  const colour = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const first = Math.max(1, steps[0]?.persons ?? 0);
  const svg = document.createElementNS(SVG, "svg");
  const height = steps.length * ROW + 2 * MARGIN;
  svg.setAttribute("width", String(WIDTH + 2 * MARGIN));
  svg.setAttribute("height", String(height));
  const add = (name: string, said: Record<string, string | number>, text?: string) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(said)) element.setAttribute(key, String(value));
    if (text !== undefined) element.textContent = text;
    svg.append(element);
  };
  const letters = { "font-family": style.fontFamily, "font-size": 14, fill: colour("ink") };
  steps.forEach((step, nth) => {
    const y = MARGIN + nth * ROW;
    const name = [...stepName(step.step)];
    const short = name.length > 24 ? `${name.slice(0, 23).join("")}…` : name.join("");
    add("text", { ...letters, x: MARGIN, y: y + 24 }, `${nth + 1}  ${short}`);
    const bar = { x: MARGIN + NAME, y: y + 11, height: 18, rx: 4 };
    add("rect", { ...bar, width: BAR, fill: colour("undyed") });
    add("rect", { ...bar, width: (BAR * step.persons) / first, fill: colour("dyed") });
    const at = { ...letters, x: MARGIN + NAME + BAR + 14, y: y + 24 };
    add("text", at, `${number(step.persons)}   ${percent(step.share)}`);
  });
  return svg;
}
