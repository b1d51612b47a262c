// One image, large, with all that is known of it.

import { taskPage } from "./airflow.js";
import { byId, element, find, setHidden, setIcon, setText } from "./dom.js";
import { allFacts, pixels } from "./format.js";
import { copyText } from "./frame.js";

const COPIED = 1_600; // ms for which a button says so

const dialog = byId("detail");
const part = (selector) => find(dialog, selector);
const parts = {
  image: part(".stage img"),
  missing: part(".missing"),
  state: part(".state"),
  stateIcon: part(".state svg"),
  stateWord: part(".state span"),
  position: part(".position"),
  prompt: part(".whole-prompt"),
  reason: part(".reason"),
  params: part(".params"),
  download: part("[data-testid=download]"),
  copyLink: part("[data-testid=copy-link]"),
  copyPrompt: part("[data-testid=copy-prompt]"),
  task: part("[data-testid=open-task]"),
  previous: part(".previous"),
  next: part(".next"),
  close: part(".close"),
};

export class Detail {
  #card = null;
  #shown = "";
  #full = "";

  /** @param cards returns the cards that are shown, in order */
  constructor(cards) {
    this.cards = cards;
    parts.previous.addEventListener("click", () => this.#step(-1));
    parts.next.addEventListener("click", () => this.#step(1));
    parts.close.addEventListener("click", () => dialog.close());
    parts.copyLink.addEventListener("click", () => this.#copy(parts.copyLink, this.#link()));
    parts.copyPrompt.addEventListener("click", () =>
      this.#copy(parts.copyPrompt, this.#card.item.job.prompt),
    );
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("keydown", (event) => this.#pressed(event));
    dialog.addEventListener("close", () => this.#closed());
    parts.image.addEventListener("error", () => this.#failed());
    parts.image.addEventListener("load", () => this.#loaded());
  }

  open(card) {
    this.#show(card);
    if (!dialog.open) dialog.showModal();
    // Not the first control, which would be a step to another image.
    parts.close.focus();
  }

  /** Show what has changed of the image that is open. */
  update() {
    if (dialog.open && this.#card) this.#show(this.#card);
  }

  #show(card) {
    const { item } = card;
    const { job, n, count } = item;
    const cards = this.cards();
    const at = cards.indexOf(card);
    this.#card = card;
    setIcon(parts.stateIcon, item.icon);
    setText(parts.stateWord, item.stateWord);
    if (parts.state.dataset.stage !== item.stage) parts.state.dataset.stage = item.stage;
    setText(parts.position, at < 0 ? "" : `${at + 1} of ${cards.length}`);
    setText(parts.prompt, job.prompt || job.label);
    setText(parts.reason, item.reason);
    setHidden(parts.reason, !item.reason);
    parts.previous.disabled = at <= 0;
    parts.next.disabled = at < 0 || at >= cards.length - 1;
    this.#showImage(card);
    setHidden(parts.download, !item.hasImage);
    parts.download.href = job.addresses(n)[0] ?? "";
    parts.download.download = `${job.jobId ?? "image"}${count > 1 ? `-${n}` : ""}`;
    setHidden(parts.copyLink, !item.hasImage);
    setHidden(parts.copyPrompt, !job.prompt);
    parts.task.href = taskPage(job.ti);
    this.#showFacts(allFacts(item, item.seenSize));
  }

  #showFacts(facts) {
    const shown = JSON.stringify(facts);
    if (shown === this.#shown) return;
    this.#shown = shown;
    parts.params.replaceChildren(
      ...facts.flatMap(([name, value]) => [element("dt", name), element("dd", value)]),
    );
  }

  /** Show the thumbnail until the image itself is there. */
  #showImage(card) {
    const { job, n, hasImage, stateWord } = card.item;
    setHidden(parts.image, !hasImage);
    setHidden(parts.missing, hasImage);
    setText(parts.missing, stateWord);
    const full = hasImage ? job.addresses(n)[0] : "";
    if (full === this.#full) return;
    this.#full = full;
    parts.image.alt = job.prompt || job.label;
    if (!full) return parts.image.removeAttribute("src");
    parts.image.classList.add("loading");
    parts.image.src = card.image.complete && card.image.currentSrc ? card.image.currentSrc : full;
    if (parts.image.src !== full) {
      const image = new Image();
      image.referrerPolicy = "no-referrer";
      const swap = () => this.#full === full && (parts.image.src = full);
      image.addEventListener("load", swap);
      image.addEventListener("error", swap); // the shown image fails then, too, and says so
      image.src = full;
    }
  }

  #loaded() {
    const image = parts.image;
    image.classList.toggle("loading", new URL(this.#full, location).href !== image.src);
    const { item } = this.#card;
    if (!item.job.images[item.n - 1]?.width && !image.classList.contains("loading")) {
      item.seenSize = pixels(image.naturalWidth, image.naturalHeight);
    }
  }

  #failed() {
    setHidden(parts.image, true);
    setHidden(parts.missing, false);
    setText(parts.missing, "This image cannot be loaded.");
  }

  #step(by) {
    const cards = this.cards();
    const card = cards[cards.indexOf(this.#card) + by];
    if (!card) return;
    this.#show(card);
    card.element.scrollIntoView({ block: "nearest" });
  }

  #pressed(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    this.#step(by);
  }

  #closed() {
    // Where the eye is by now, not where it was when the first image was opened.
    this.#card?.open.focus();
    this.#card = null;
    this.#full = "";
    parts.image.removeAttribute("src");
  }

  #link() {
    const { job, n } = this.#card.item;
    return job.link(n);
  }

  async #copy(button, text) {
    const before = button.dataset.name ?? button.textContent;
    button.dataset.name = before;
    try {
      await copyText(text);
      setText(button, "Copied");
    } catch (error) {
      setText(button, "Not copied");
      console.warn(error);
    }
    setTimeout(() => setText(button, before), COPIED);
  }
}
