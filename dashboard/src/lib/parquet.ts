// A table as Parquet, with the types that its columns have. Loaded when somebody wants one.
import { type ColumnSource, parquetWriteBuffer } from "hyparquet-writer";
import type { Cell } from "./csv";

/** Whole numbers as INT64, others as DOUBLE; truth as BOOLEAN; all else as text. */
export function parquet(header: string[], rows: Cell[][]): ArrayBuffer {
  return parquetWriteBuffer({
    columnData: header.map((name, at) => column(header, rows, name, at)),
  });
}

function column(header: string[], rows: Cell[][], title: string, at: number): ColumnSource {
  const cells = rows.map((row) => row[at] ?? null);
  // No two columns of a file have one name.
  const name = header.indexOf(title) === at ? title : `${title} ${at + 1}`;
  const there = cells.filter((cell) => cell !== null);
  if (there.length && there.every((cell) => typeof cell === "number"))
    return there.every((cell) => Number.isSafeInteger(cell))
      ? { name, type: "INT64", data: cells.map((cell) => (cell === null ? null : BigInt(cell))) }
      : { name, type: "DOUBLE", data: cells };
  if (there.length && there.every((cell) => typeof cell === "boolean"))
    return { name, type: "BOOLEAN", data: cells };
  return { name, type: "STRING", data: cells.map((cell) => (cell === null ? null : String(cell))) };
}
