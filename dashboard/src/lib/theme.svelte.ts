export type Theme = "system" | "light" | "dark";
const KEY = "threadline.theme";

function read(): Theme {
  const set = document.documentElement.dataset.theme;
  return set === "light" || set === "dark" ? set : "system";
}

class Themes {
  current = $state<Theme>(read());

  set(theme: Theme): void {
    this.current = theme;
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    try {
      if (theme === "system") localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, theme);
    } catch {
      // It holds until the page is left.
    }
  }
}

export const themes = new Themes();
