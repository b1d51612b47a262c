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
  const root = document.documentElement;
  root.dataset.theme = airflowTheme() ?? (system.matches ? "dark" : "light");
  const outer = airflowDocument();
  if (!outer) return;
  root.style.setProperty("--font", getComputedStyle(outer.body).fontFamily);
  const colours = [outer.body, outer.documentElement].map(
    (each) => getComputedStyle(each).backgroundColor,
  );
  const page = colours.find((colour) => colour !== "rgba(0, 0, 0, 0)");
  if (page) root.style.setProperty("--page", page);
}

function followTheme() {
  apply();
  system.addEventListener("change", apply);
  addEventListener("storage", apply);
  const root = airflowDocument()?.documentElement;
  document.documentElement.classList.toggle("framed", Boolean(root));
  if (!root) return;
  const observer = new MutationObserver(apply);
  observer.observe(root, { attributes: true, attributeFilter: ["class", "data-theme", "style"] });
}

// At once: the page waits for this module before it is painted.
followTheme();
