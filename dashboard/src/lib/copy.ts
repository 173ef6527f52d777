import { toasts } from "./toasts.svelte";

/** To the clipboard; where that is not allowed (http without a certificate), by selecting it. */
export async function copy(text: string, from?: HTMLElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    toasts.say("Copied.");
  } catch {
    if (from) getSelection()?.selectAllChildren(from);
    toasts.say("The browser does not let the page copy. It is selected: press Ctrl+C or ⌘C.");
  }
}
