// What stands on a board: insights, and the parts that the Overview is made of.
import type { Schemas } from "../../lib/api";

export type Board = Schemas["Board"];
export type BoardTile = Schemas["BoardTile"];
export type Part = NonNullable<BoardTile["part"]>;

/** The board that is the first page. */
export const OVERVIEW = "Overview";
export const PARTS: Record<Part, string> = {
  figures: "The figures",
  people: "People along time",
  sources: "What brought them, what closed them",
  entry_pages: "Entry pages",
  campaigns: "Campaigns",
  countries: "Countries",
  devices: "Devices",
};
/** As it comes, until somebody arranges it. */
export const AS_IT_COMES: BoardTile[] = [
  { part: "figures", width: 12 },
  { part: "people", width: 12 },
  { part: "sources", width: 12 },
  { part: "entry_pages", width: 6 },
  { part: "campaigns", width: 6 },
  { part: "countries", width: 6 },
  { part: "devices", width: 6 },
];

export const nameOf = (tile: BoardTile): string =>
  tile.part ? PARTS[tile.part] : (tile.insight ?? "");
export const isWide = (tile: BoardTile): boolean => tile.width > 6;

/** An arrangement as a share link keeps it: `figures:12,people:12`; insights stay at home. */
export function written(tiles: BoardTile[]): string {
  return tiles
    .filter(({ part }) => part)
    .map(({ part, width }) => `${part}:${width}`)
    .join(",");
}
export function read(text: string): BoardTile[] {
  const found = text.split(",").map((each) => each.split(":"));
  return found
    .filter(([part]) => part !== undefined && part in PARTS)
    .map(([part, width]) => ({ part: part as Part, width: Number(width) || 6 }));
}

/** With one more at its end; the Overview as it is, also where nobody has arranged it yet. */
export function withTile(board: Board | undefined, named: string, tile: BoardTile): Board {
  const there = board?.insights ?? (named === OVERVIEW ? AS_IT_COMES : []);
  return { description: "", ...board, name: named, insights: [...there, tile] };
}
