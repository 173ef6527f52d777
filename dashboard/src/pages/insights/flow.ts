// Where the nodes and bands of a drawing of paths lie.

export interface FlowRow {
  step: number;
  from: string;
  to: string;
  persons: number;
}
export interface Node {
  name: string;
  /** How many steps from the event; 0 is the event. */
  column: number;
  persons: number;
  x: number;
  y: number;
  height: number;
  /** So many others of the column together. */
  folded: number;
}
export interface Band {
  from: Node;
  to: Node;
  persons: number;
  y0: number;
  y1: number;
  width: number;
}
export interface Drawn {
  nodes: Node[];
  bands: Band[];
  height: number;
}

export const NODE_WIDTH = 10;
const GAP = 26;
const MOST = 7;

/** `event`: where all begin, or end. In a column the greatest are on top, and beyond a few they are
 * one node. */
export function layOut(
  flow: FlowRow[],
  event: string,
  persons: number,
  isBefore: boolean,
  width: number,
  room: number,
  label: number,
): Drawn {
  const last = Math.max(0, ...flow.map(({ step }) => step));
  if (!last || !persons) return { nodes: [], bands: [], height: 0 };
  const far = (row: FlowRow) => (isBefore ? row.from : row.to);
  const near = (row: FlowRow) => (isBefore ? row.to : row.from);
  const scale = room / persons;
  const gap = (width - label - NODE_WIDTH) / last;
  const at = (column: number) => (isBefore ? (last - column) * gap : column * gap);
  const nodes = new Map<string, Node>();
  const key = (column: number, name: string) => `${column} ${name}`;
  nodes.set(key(0, event), {
    name: event,
    column: 0,
    persons,
    x: at(0),
    y: 0,
    height: Math.max(3, persons * scale),
    folded: 0,
  });
  const shownAs = new Map<string, Node>([[key(0, event), nodes.get(key(0, event))!]]);
  let height = persons * scale;
  for (let column = 1; column <= last; column++) {
    const sums = new Map<string, number>();
    for (const row of flow)
      if (row.step === column) sums.set(far(row), (sums.get(far(row)) ?? 0) + row.persons);
    const sorted = [...sums].sort((one, other) => other[1] - one[1]);
    const kept = sorted.length > MOST + 1 ? sorted.slice(0, MOST) : sorted;
    const rest = sorted.slice(kept.length);
    let y = 0;
    const place = (name: string, count: number, folded: number): Node => {
      const node = {
        name,
        column,
        persons: count,
        x: at(column),
        y,
        height: Math.max(3, count * scale),
        folded,
      };
      y += Math.max(node.height, 4) + GAP;
      return node;
    };
    for (const [name, count] of kept) {
      const node = place(name, count, 0);
      nodes.set(key(column, name), node);
      shownAs.set(key(column, name), node);
    }
    if (rest.length) {
      const count = rest.reduce((sum, [, each]) => sum + each, 0);
      const node = place(`${rest.length} others`, count, rest.length);
      nodes.set(`${column} folded`, node);
      for (const [name] of rest) shownAs.set(key(column, name), node);
    }
    height = Math.max(height, y - GAP + 16);
  }
  return { nodes: [...nodes.values()], bands: bandsOf(), height };

  function bandsOf(): Band[] {
    const merged = new Map<string, { from: Node; to: Node; persons: number }>();
    for (const row of flow) {
      const outer = shownAs.get(key(row.step, far(row)));
      const inner = shownAs.get(key(row.step - 1, near(row)));
      if (!outer || !inner) continue;
      const [from, to] = isBefore ? [outer, inner] : [inner, outer];
      const id = `${row.step} ${from.y} ${to.y}`;
      const known = merged.get(id);
      if (known) known.persons += row.persons;
      else merged.set(id, { from, to, persons: row.persons });
    }
    const used = { out: new Map<Node, number>(), into: new Map<Node, number>() };
    return [...merged.values()]
      .sort((one, other) => one.from.y - other.from.y || one.to.y - other.to.y)
      .map((band) => {
        const thick = Math.max(1, band.persons * scale);
        const out = used.out.get(band.from) ?? 0;
        const into = used.into.get(band.to) ?? 0;
        used.out.set(band.from, out + thick);
        used.into.set(band.to, into + thick);
        return { ...band, width: thick, y0: band.from.y + out, y1: band.to.y + into };
      });
  }
}
