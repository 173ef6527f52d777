import { untrack } from "svelte";

export interface Shortcut {
  /** As `KeyboardEvent.key` has it; `g o`: one after the other. */
  keys: string;
  what: string;
  run: () => void;
}

const WAIT_MS = 1200;

class Shortcuts {
  all = $state.raw<Shortcut[]>([]);
  #before = "";
  #at = 0;

  /** Until the function that comes back is called; from an effect, that is when it ends. */
  add(...added: Shortcut[]): () => void {
    // Whoever adds in an effect is not to be called again for it.
    this.all = [...untrack(() => this.all), ...added];
    return () => {
      this.all = this.all.filter((shortcut) => !added.includes(shortcut));
    };
  }

  /** Whoever types, or has a dialog open, means something else. */
  handle(event: KeyboardEvent): void {
    if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey) return;
    const target = event.target as HTMLElement;
    if (target.closest("input, textarea, select, [contenteditable], dialog")) return;
    const now = Date.now();
    const pair = now - this.#at < WAIT_MS ? `${this.#before} ${event.key}` : "";
    const found =
      this.all.find((shortcut) => shortcut.keys === pair) ??
      this.all.find((shortcut) => shortcut.keys === event.key);
    this.#before = found ? "" : event.key;
    this.#at = now;
    if (!found) return;
    event.preventDefault();
    found.run();
  }
}

export const shortcuts = new Shortcuts();
