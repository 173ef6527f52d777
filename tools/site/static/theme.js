// Before anything is drawn: the colours that were chosen last.
document.body.dataset.theme = (() => {
  try {
    return localStorage.getItem("theme") || "auto";
  } catch {
    return "auto"; // storage is forbidden
  }
})();
