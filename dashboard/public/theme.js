// Before the first stroke is drawn: whoever chose a theme gets it without a flash of the other one.
try {
  const theme = localStorage.getItem("threadline.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden; the system's theme is as good.
}
