// A person's events, all pages of them, under a policy and as of a time.

import { ask, type Failure, type Schemas } from "../../lib/api";
import { changes } from "../../lib/changes.svelte";
import type { Policy } from "../../lib/view.svelte";
import type { EventRow } from "./thread";

export interface Wanted {
  user_id: string;
  stitch: Policy | "any";
  as_of?: string;
}
/** More are fetched when they are asked for. */
const AT_ONCE = 3000;
const EACH = 1000;

export class Journey {
  answer = $state.raw<Schemas["Journey"] | undefined>();
  events = $state.raw<EventRow[]>([]);
  error = $state.raw<Failure | undefined>();
  loading = $state(true);
  /** There are more of them. */
  cursor = $state.raw<string | null>(null);
  ids = $derived(new Set(this.events.map(({ event_id }) => event_id)));
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
      if (this.#wanted) void this.#load(this.#wanted, control.signal);
      else this.#become([], undefined);
      return () => control.abort();
    });
  }

  reload(): void {
    this.#again += 1;
  }

  async more(): Promise<void> {
    const wanted = this.#wanted;
    if (!wanted || !this.cursor || this.loading) return;
    this.loading = true;
    await this.#load(wanted, this.#control.signal, this.events, this.cursor);
  }

  async #load(
    wanted: Wanted,
    signal: AbortSignal,
    before: EventRow[] = [],
    from?: string,
  ): Promise<void> {
    this.loading = true;
    const found = [...before];
    let cursor = from;
    for (;;) {
      const result = await ask(
        "/v1/users/{user_id}/events",
        { ...wanted, limit: EACH, cursor },
        { signal },
      );
      if (signal.aborted) return;
      if (!result.ok) {
        this.error = result.error;
        this.answer = undefined;
        this.#become([], undefined);
        return;
      }
      this.error = undefined;
      this.answer = result.data;
      found.push(...result.data.rows);
      cursor = result.data.next_cursor ?? undefined;
      if (!cursor || found.length >= before.length + AT_ONCE) break;
    }
    this.#become(found, cursor);
  }

  #become(events: EventRow[], cursor: string | undefined): void {
    this.events = events;
    this.cursor = cursor ?? null;
    this.loading = false;
  }
}
