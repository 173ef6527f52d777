// Files that the page makes itself: tables as CSV, charts as SVG and PNG.

/** Hand a file over to the browser. */
export function download(name: string, type: string, body: BlobPart): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([body], { type }));
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export const fileName = (title: string): string =>
  title
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, "-")
    .replace(/^-|-$/g, "")
    .slice(0, 80) || "table";

const DRAWN = [
  "fill",
  "stroke",
  "stroke-width",
  "stroke-dasharray",
  "stroke-linecap",
  "stroke-linejoin",
  "paint-order",
  "opacity",
  "font-family",
  "font-size",
  "font-weight",
  "text-anchor",
];

/** A drawing by itself: what the page's style sheets say of it is written into it. */
function alone(svg: SVGSVGElement): SVGSVGElement {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const originals = [svg, ...svg.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((element, at) => {
    const style = getComputedStyle(originals[at]!);
    for (const name of DRAWN) {
      const value = style.getPropertyValue(name);
      if (value) element.setAttribute(name, value);
    }
    element.removeAttribute("class");
    element.removeAttribute("style");
  });
  return copy;
}

/** Drawings side by side as one, on the page's paper. */
export function standalone(parts: SVGSVGElement[]): {
  text: string;
  width: number;
  height: number;
} {
  const whole = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  let width = 0;
  let height = 0;
  for (const part of parts) {
    const own = alone(part);
    const wide = Math.round(part.width.baseVal.value);
    const high = Math.round(part.height.baseVal.value);
    own.setAttribute("x", String(width));
    own.setAttribute("width", String(wide));
    own.setAttribute("height", String(high));
    whole.append(own);
    width += wide;
    height = Math.max(height, high);
  }
  const paper = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  paper.setAttribute("width", "100%");
  paper.setAttribute("height", "100%");
  paper.setAttribute("fill", getComputedStyle(document.body).backgroundColor);
  whole.prepend(paper);
  whole.setAttribute("width", String(width));
  whole.setAttribute("height", String(height));
  return { text: new XMLSerializer().serializeToString(whole), width, height };
}

export function downloadSvg(parts: SVGSVGElement[], name: string): void {
  download(`${name}.svg`, "image/svg+xml", standalone(parts).text);
}

/** At twice the size, for screens and slides. */
export async function downloadPng(parts: SVGSVGElement[], name: string): Promise<void> {
  const { text, width, height } = standalone(parts);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = width * 2;
  canvas.height = height * 2;
  canvas.getContext("2d")!.drawImage(image, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/png"));
  if (blob) download(`${name}.png`, "image/png", blob);
}
