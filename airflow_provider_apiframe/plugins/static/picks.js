// Two images side by side.

import { byId, element, find, setHidden, setText } from "./dom.js";
import { allFacts } from "./format.js";

const tray = find(document, ".tray");
const dialog = byId("comparison");

/** The cards that are ticked, two at most: a third one takes the place of the first. */
export class Picks {
  #cards = [];

  constructor() {
    find(tray, ".primary").addEventListener("click", () => this.#compare());
    find(tray, ".button:last-child").addEventListener("click", () => this.#clear());
    find(dialog, ".close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }

  pick(card) {
    this.#cards = this.#cards.filter((each) => each !== card);
    if (card.pick.checked) this.#cards.push(card);
    if (this.#cards.length > 2) this.#cards.shift().pick.checked = false;
    this.update();
  }

  update() {
    this.#cards = this.#cards.filter((card) => card.element.isConnected && card.item.hasImage);
    for (const picked of document.querySelectorAll(".card.picked")) {
      if (!this.#cards.includes(picked.card)) {
        picked.classList.remove("picked");
        picked.card.pick.checked = false;
      }
    }
    for (const card of this.#cards) card.element.classList.add("picked");
    const count = this.#cards.length;
    setHidden(tray, count === 0);
    setText(find(tray, ".picked"), count === 1 ? "One picked; pick another one" : "Two picked");
    find(tray, ".primary").disabled = count < 2;
  }

  #clear() {
    this.#cards = [];
    this.update();
    find(document, ".open")?.focus();
  }

  #compare() {
    const items = this.#cards.map((card) => card.item);
    find(dialog, ".pair").replaceChildren(...this.#cards.map(figure));
    find(dialog, "tbody").replaceChildren(...differences(...items));
    dialog.showModal();
  }
}

function figure(card, place) {
  const { job, n } = card.item;
  const image = element("img", "", {
    src: job.addresses(n)[0],
    alt: job.prompt || job.label,
    referrerPolicy: "no-referrer",
  });
  const fallback = card.image.currentSrc;
  image.addEventListener("error", () => image.src !== fallback && (image.src = fallback), {
    once: true,
  });
  const caption = element("figcaption", `${place === 0 ? "Left" : "Right"}: ${job.label}`);
  return element("figure", [image, caption]);
}

function differences(left, right) {
  const facts = [left, right].map(
    (item) => new Map([["prompt", item.job.prompt], ...allFacts(item, item.seenSize)]),
  );
  const names = new Set(facts.flatMap((each) => [...each.keys()]));
  return [...names].map((name) => {
    const values = facts.map((each) => each.get(name) ?? "");
    const row = element("tr", [
      element("th", name, { scope: "row" }),
      ...values.map((value) => element("td", value || "–")),
    ]);
    if (values[0] !== values[1]) row.className = "differs";
    return row;
  });
}
