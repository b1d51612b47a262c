// Text goes into the page as text only: nothing here, nor elsewhere, parses HTML.

export const byId = (id) => document.getElementById(id);

export const find = (root, selector) => root.querySelector(selector);

/** Set an element's text if it is another one: an unchanged page costs no layout. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setHidden(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

export function setIcon(svg, name) {
  const address = `#icon-${name}`;
  const use = svg.firstElementChild;
  if (use.getAttribute("href") !== address) use.setAttribute("href", address);
}

/** Return a new element with this text, or with these children. */
export function element(tag, content = "", properties = {}) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...[content].flat());
  return made;
}

/** Replace all options of a select; keep what is chosen if it is still there. */
export function setOptions(select, options) {
  const chosen = select.value;
  select.replaceChildren(...options.map(([value, label]) => element("option", label, { value })));
  if (options.some(([value]) => value === chosen)) select.value = chosen;
}
