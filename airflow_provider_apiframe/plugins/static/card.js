// One image on the desk. Its elements are made once, and changed where they differ.

import { byId, find, setHidden, setIcon, setText } from "./dom.js";
import { credits, duration, pixels, shortFacts } from "./format.js";

const EXPIRED = "The vendor's link has expired. Images that a task saves (save_to) stay.";

/** What a card shows: image n of a job, or the job that has none (yet). */
export class Item {
  constructor(job, n) {
    this.job = job;
    this.n = n;
    this.count = 1;
    this.seenSize = "";
    this.isBroken = false;
    this.brokenReason = EXPIRED;
  }

  get hasImage() {
    return this.job.images.length >= this.n && !this.isBroken;
  }

  get stage() {
    const { stage, isAnswered, images } = this.job;
    return stage === "done" && isAnswered && images.length < this.n ? "unmade" : stage;
  }

  get stateWord() {
    return this.isBroken && this.job.stage === "done" ? "Not shown" : this.job.stateWord;
  }

  get icon() {
    if (this.isBroken) return "expired";
    const isWaiting = this.job.stage === "making" && !this.job.isAtWork;
    return isWaiting ? "waiting" : this.stage;
  }

  /** Why there is no image. */
  get reason() {
    const { job } = this;
    if (this.isBroken) return this.brokenReason;
    if (this.stage === "failed") return job.failure?.reason ?? "The task failed. Its log says why.";
    if (this.stage === "unmade" && job.stage === "done") {
      return job.problem ?? "The job is on its way; another task collects its image.";
    }
    if (job.ti.state === "upstream_failed") return "A task before it failed, so nothing was paid.";
    if (job.ti.state === "skipped") return job.failure?.reason ?? "The task was skipped.";
    if (job.ti.state === "up_for_retry" && job.failure) return job.failure.reason;
    return "";
  }

  matches({ words, task, stage }) {
    if (task && this.job.ti.task_id !== task) return false;
    if (stage && this.stage !== stage) return false;
    const { prompt, ti, label } = this.job;
    const text = `${prompt} ${label} ${ti.rendered_map_index ?? ""}`.toLowerCase();
    return words.every((word) => text.includes(word));
  }
}

export class Card {
  #fallbacks = [];
  #address = "";

  constructor(item) {
    this.item = item;
    this.element = byId("card").content.firstElementChild.cloneNode(true);
    const part = (selector) => find(this.element, selector);
    this.image = part("img");
    this.open = part(".open");
    this.pick = part(".pick input");
    this.parts = {
      blank: part(".blank"),
      blankIcon: part(".blank svg"),
      why: part(".why"),
      name: part(".name"),
      pickName: part(".pick span"),
      progress: part("progress"),
      label: part(".label"),
      prompt: part(".prompt"),
      facts: part(".facts"),
      state: part(".state"),
      stateIcon: part(".state svg"),
      stateWord: part(".state span"),
      cost: part(".cost"),
      time: part(".time"),
    };
    this.image.addEventListener("load", () => this.#loaded());
    this.image.addEventListener("error", () => this.#failed());
    this.element.card = this;
  }

  update() {
    const { item, parts } = this;
    const { job, n, count } = item;
    const name = job.prompt || job.label;
    if (this.element.dataset.stage !== item.stage) this.element.dataset.stage = item.stage;
    this.element.classList.toggle("at-work", item.icon === "making");
    setText(parts.label, count > 1 ? `${job.label} · ${n} of ${count}` : job.label);
    setText(parts.prompt, name);
    setText(parts.facts, shortFacts(item));
    setText(parts.stateWord, item.stateWord);
    setIcon(parts.stateIcon, item.icon);
    setText(parts.cost, job.credits === null || n > 1 ? "" : credits(job.credits));
    setText(parts.time, duration(job.seconds));
    setText(parts.pickName, `Compare: ${name}`);
    setText(parts.name, `${name} (${item.stateWord})`);
    setHidden(this.pick.parentElement, !item.hasImage);
    this.#updateProgress();
    this.#updateImage();
  }

  #updateProgress() {
    const { item, parts } = this;
    const isMaking = item.stage === "making" && item.job.isAtWork;
    const percent = item.job.progress?.percent ?? null;
    setHidden(parts.progress, !isMaking);
    if (!isMaking) return;
    parts.progress.setAttribute("aria-label", `Progress of ${item.job.label}`);
    if (percent === null) parts.progress.removeAttribute("value");
    else parts.progress.value = percent;
    setText(parts.why, percent === null ? "" : `${Math.round(percent)} %`);
  }

  #updateImage() {
    const { item, parts } = this;
    const [address = "", ...fallbacks] = item.job.addresses(item.n, "thumbnail");
    if (address !== this.#address) {
      this.#address = address;
      this.#fallbacks = fallbacks;
      item.isBroken = Boolean(item.job.images.length >= item.n && !address);
      if (address) this.image.src = address;
      else this.image.removeAttribute("src");
    }
    setHidden(this.image, !address || item.isBroken);
    setHidden(parts.blank, item.stage === "done" && !item.isBroken);
    setIcon(parts.blankIcon, item.icon);
    if (item.reason || item.stage !== "making") setText(parts.why, item.reason);
  }

  #loaded() {
    const { item } = this;
    this.element.classList.add("loaded");
    const isVendors = !item.job.images[item.n - 1]?.width;
    if (isVendors) item.seenSize = pixels(this.image.naturalWidth, this.image.naturalHeight);
    setText(this.parts.facts, shortFacts(item));
  }

  async #failed() {
    const failed = this.image.src;
    if (!failed) return;
    if (this.#fallbacks.length) {
      this.image.src = this.#fallbacks.shift();
      return;
    }
    this.item.isBroken = true;
    this.item.brokenReason = (await reasonOf(this.#address)) ?? EXPIRED;
    this.update();
  }
}

/** Return why the image route of this server gave no image; null for other addresses. */
async function reasonOf(address) {
  if (!address.startsWith("/")) return null;
  try {
    const response = await fetch(address, { headers: { Accept: "application/json" } });
    return (await response.json()).detail ?? null;
  } catch {
    return "The image could not be loaded.";
  }
}
