export interface Toast {
  id: number;
  text: string;
  tone: "plain" | "error";
  /** Such as Undo. */
  action?: { label: string; run: () => void };
}

class Toasts {
  shown = $state<Toast[]>([]);
  #next = 1;

  /** Say something that needs no answer. It goes by itself, unless it went wrong or can be undone:
   * nobody should have to hurry. */
  say(text: string, options: { tone?: Toast["tone"]; action?: Toast["action"] } = {}): void {
    const id = this.#next++;
    this.shown = [
      ...this.shown.slice(-2),
      { id, text, tone: options.tone ?? "plain", action: options.action },
    ];
    if (options.tone !== "error" && !options.action) setTimeout(() => this.dismiss(id), 6000);
  }

  dismiss(id: number): void {
    this.shown = this.shown.filter((toast) => toast.id !== id);
  }
}

export const toasts = new Toasts();
