// People, page by page, as they are scrolled to.

import { ask, asker, downloadAddress, type Failure, failure, type Params } from "../../lib/api";
import { changes } from "../../lib/changes.svelte";
import type { Cell } from "../../lib/csv";
import { download } from "../../lib/download";
import type { PersonRow } from "./columns";

type Wanted = Params<"/v1/users">;
const EACH = 250;

export class PeopleList {
  rows = $state.raw<PersonRow[]>([]);
  cursor = $state.raw<string | null>(null);
  error = $state.raw<Failure | undefined>();
  warnings = $state.raw<string[]>([]);
  loading = $state(true);
  isNew = $state(true);
  /** What is there is of what was asked before. */
  isStale = $state(false);
  #again = $state(0);
  #wanted: Wanted | null = null;
  #control = new AbortController();

  constructor(wanted: () => Wanted | null) {
    $effect(() => {
      void changes.count;
      void this.#again;
      this.#wanted = wanted();
      const control = new AbortController();
      this.#control = control;
      this.loading = true;
      this.isStale = true;
      if (this.#wanted) void this.#load(this.#wanted, control.signal, []);
      return () => control.abort();
    });
  }

  reload(): void {
    this.#again += 1;
  }

  more(): void {
    if (this.#wanted && this.cursor && !this.loading)
      void this.#load(this.#wanted, this.#control.signal, this.rows, this.cursor);
  }

  async #load(wanted: Wanted, signal: AbortSignal, before: PersonRow[], cursor?: string) {
    this.loading = true;
    const result = await ask("/v1/users", { ...wanted, limit: EACH, cursor }, { signal });
    if (signal.aborted) return;
    this.loading = false;
    this.isNew = false;
    this.isStale = false;
    this.error = result.ok ? undefined : result.error;
    this.rows = result.ok ? [...before, ...(result.data.rows as unknown as PersonRow[])] : [];
    this.cursor = result.ok ? result.data.next_cursor : null;
    this.warnings = result.ok ? (result.data.warnings ?? []).map(({ message }) => message) : [];
  }

  /** The API's own CSV: all its pages as one file. */
  async save(): Promise<Failure | undefined> {
    const parts: string[] = [];
    let cursor: string | undefined;
    do {
      const params = { ...this.#wanted, limit: 1000, cursor, format: "csv" };
      const headers: Record<string, string> = asker.token
        ? { Authorization: `Bearer ${asker.token}` }
        : {};
      const response = await fetch(downloadAddress("/v1/users", params), { headers });
      if (!response.ok) return failure(response);
      const text = await response.text();
      // Each page begins with the names of the columns; one is enough.
      parts.push(cursor ? text.slice(text.indexOf("\n") + 1) : text);
      cursor = response.headers.get("Threadline-Next-Cursor") ?? undefined;
    } while (cursor);
    download("people.csv", "text/csv;charset=utf-8", parts.join(""));
    return undefined;
  }

  /** All of them as Parquet; what has parts, such as the first touch, has a column for each. */
  async saveParquet(): Promise<Failure | undefined> {
    const found: Record<string, Cell>[] = [];
    let cursor: string | undefined;
    do {
      const result = await ask("/v1/users", { ...this.#wanted, limit: 1000, cursor });
      if (!result.ok) return result.error;
      for (const row of result.data.rows) found.push(flat(row as unknown as PersonRow));
      cursor = result.data.next_cursor ?? undefined;
    } while (cursor);
    const header = [...new Set(found.flatMap((row) => Object.keys(row)))];
    const { parquet } = await import("../../lib/parquet");
    const body = parquet(
      header,
      found.map((row) => header.map((name) => row[name])),
    );
    download("people.parquet", "application/vnd.apache.parquet", body);
    return undefined;
  }
}

function flat(row: Record<string, unknown>, before = ""): Record<string, Cell> {
  return Object.assign(
    {},
    ...Object.entries(row).map(([name, value]) =>
      value !== null && typeof value === "object" && !Array.isArray(value)
        ? flat(value as Record<string, unknown>, `${before}${name}.`)
        : { [before + name]: typeof value === "object" && value ? JSON.stringify(value) : value },
    ),
  );
}
