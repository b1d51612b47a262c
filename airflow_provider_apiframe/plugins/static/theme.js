// Light or dark as Airflow is, also when it changes.

const system = matchMedia("(prefers-color-scheme: dark)");

/** Airflow's page around this one; null in a window of its own. */
export function airflowDocument() {
  try {
    return parent === window ? null : parent.document;
  } catch {
    return null; // framed by another site
  }
}

function airflowTheme() {
  const root = airflowDocument()?.documentElement;
  for (const theme of ["dark", "light"]) {
    if (root?.classList.contains(theme) || root?.dataset.theme === theme) return theme;
  }
  let chosen = null;
  try {
    chosen = localStorage.getItem("theme");
  } catch {
    // A browser that keeps nothing for this site
  }
  return chosen === "dark" || chosen === "light" ? chosen : null;
}

function apply() {
  const theme = airflowTheme() ?? (system.matches ? "dark" : "light");
  document.documentElement.dataset.theme = theme;
}

export function followTheme() {
  apply();
  system.addEventListener("change", apply);
  addEventListener("storage", apply);
  const root = airflowDocument()?.documentElement;
  if (!root) return;
  document.documentElement.classList.add("framed");
  const observer = new MutationObserver(apply);
  observer.observe(root, { attributes: true, attributeFilter: ["class", "data-theme"] });
}
