import { untrack } from "svelte";
import { type AnswerOf, ask, type Failure, type Params, type Question } from "./api";
import { changes } from "./changes.svelte";

/** How many answers the page waits for. */
class Asking {
  count = $state(0);
}
export const asking = new Asking();

/** A question whose answer follows what it is asked with. What was there stays, `stale`, until the
 * next answer is here, so that nothing jumps. */
export class Asked<Q extends Question> {
  data = $state.raw<AnswerOf<Q> | undefined>();
  error = $state.raw<Failure | undefined>();
  loading = $state(true);
  stale = $derived(this.loading && this.data !== undefined);
  #again = $state(0);
  #fresh = false;

  /** `params`: read anew whenever anything in it changes; `null`: there is nothing to ask yet. */
  constructor(question: Q, params: () => Params<Q> | null) {
    // Another state in the address is no reason to ask the same again.
    const key = $derived(JSON.stringify(params()));
    $effect(() => {
      void this.#again;
      void changes.count;
      void key;
      const wanted = untrack(params);
      const fresh = this.#fresh;
      this.#fresh = false;
      if (wanted === null) {
        this.data = undefined;
        this.error = undefined;
        this.loading = false;
        return;
      }
      const control = new AbortController();
      this.loading = true;
      untrack(() => asking.count++);
      ask(question, wanted, { signal: control.signal, fresh }).then((result) => {
        asking.count--;
        if (control.signal.aborted) return;
        this.loading = false;
        this.error = result.ok ? undefined : result.error;
        this.data = result.ok ? result.data : undefined;
      });
      return () => control.abort();
    });
  }

  /** Ask the same again, whatever is remembered. */
  reload(): void {
    this.#fresh = true;
    this.#again += 1;
  }
}

/** To be called while a component is set up, as the effects of its own are. */
export function asked<Q extends Question, const P extends Params<Q> | null>(
  question: Q,
  params: () => P,
): Asked<Q> {
  return new Asked(question, params);
}
