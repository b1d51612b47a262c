// The gallery of a run, a task instance or an asset: reads Airflow, and keeps reading while
// something is being made.

import { ApiError, BASE, ownQuery } from "./airflow.js";
import { byId, find, setHidden, setText } from "./dom.js";
import { Desk, totalsText } from "./desk.js";
import { Detail } from "./detail.js";
import { Picks } from "./picks.js";
import { followLinksOutside, growLowFrame } from "./frame.js";
import { AssetSource, RunSource } from "./sources.js";

const POLL = 3_000; // ms
const POLL_AFTER_ERROR = 10_000;
const ANNOUNCE = 10_000; // a screen reader is not talked over

const TROUBLE = {
  0: "Airflow cannot be reached. What is shown may be old.",
  401: "You are not signed in to Airflow any more.",
  403: "You may not see the tasks of this DAG, or their XComs. Ask an administrator of Airflow.",
  404: "Airflow does not know this run, or not any more.",
};

const byTestId = (id) => find(document, `[data-testid="${id}"]`);

class Gallery {
  #timer = null;
  #isReading = false;
  #announcedAt = 0;
  #announcing = null;

  constructor(source, wanted) {
    this.source = source;
    this.wanted = wanted; // the number of the image that a link leads to
    this.desk = new Desk(source, () => this.#tellSoon());
    this.picks = new Picks();
    this.detail = new Detail(() => this.desk.shownCards);
  }

  start() {
    setText(byTestId("title"), this.source.title);
    document.title = `Images of ${this.source.title}`;
    find(document, ".filters").addEventListener("input", () => this.#tell());
    find(document, ".filters").addEventListener("submit", (event) => event.preventDefault());
    byTestId("retry").addEventListener("click", () => this.#read());
    byTestId("older").addEventListener("click", () => this.#readOlder());
    document.addEventListener("visibilitychange", () => this.#read());
    byTestId("cards").addEventListener("click", (event) => this.#clicked(event));
    byTestId("cards").addEventListener("change", (event) => this.#picked(event));
    byTestId("cards").addEventListener("keydown", (event) => this.#moved(event));
    this.#tellPlace();
    this.#read();
  }

  /** In a window of its own say what this is, and lead to Airflow; in Airflow, lead out of it. */
  #tellPlace() {
    const isFramed = document.documentElement.classList.contains("framed");
    setText(byTestId("subtitle"), this.source.subtitle);
    setHidden(byTestId("subtitle"), isFramed || !this.source.subtitle);
    byId("wide").href = location.href;
    setHidden(byId("wide"), !isFramed);
    byId("airflow").href = this.source.page;
    setHidden(byId("airflow"), isFramed);
  }

  async #read() {
    clearTimeout(this.#timer);
    if (document.hidden || this.#isReading) return;
    this.#isReading = true;
    let pause = POLL;
    let isOver = false;
    try {
      await this.source.refresh((instances) => this.#take(instances));
      this.#tellIfEmpty();
      await this.desk.read();
      await this.desk.readProgress();
      setHidden(byTestId("notice"), true);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#tellTrouble(error);
      pause = POLL_AFTER_ERROR;
      isOver = error.isFinal;
    } finally {
      this.#isReading = false;
    }
    this.#tell();
    byTestId("cards").setAttribute("aria-busy", "false");
    setHidden(byTestId("older"), !this.source.hasOlder);
    const mayChange = this.source.isUnfinished || this.desk.jobs.some((job) => job.needsReading);
    if (mayChange && !isOver && !document.hidden)
      this.#timer = setTimeout(() => this.#read(), pause);
  }

  async #readOlder() {
    try {
      await this.source.readOlder((instances) => this.#take(instances));
      await this.desk.read();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#tellTrouble(error);
    }
    this.#tell();
    setHidden(byTestId("older"), !this.source.hasOlder);
  }

  #take(instances) {
    this.desk.take(instances);
    this.#tellSoon();
  }

  /** Tell the totals, at most once a frame. */
  #tellSoon() {
    this.frame ??= requestAnimationFrame(() => this.#tell());
  }

  #tell() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    const totals = this.desk.show();
    const words = this.desk.isEmpty ? "" : totalsText(totals);
    setText(byTestId("totals"), words);
    setHidden(byTestId("empty"), this.desk.isEmpty ? byTestId("empty").hidden : totals.shown > 0);
    if (!this.desk.isEmpty && !totals.shown) {
      this.#tellEmpty("Nothing matches", "Other words, another task or another state may.");
    }
    this.#announce(words);
    this.picks.update();
    this.detail.update();
    this.#openWanted();
  }

  /** Let screen readers say the totals: at once, or when the last ones had their time. */
  #announce(words) {
    clearTimeout(this.#announcing);
    const pause = Math.max(0, this.#announcedAt + ANNOUNCE - Date.now());
    this.#announcing = setTimeout(() => {
      this.#announcedAt = Date.now();
      setText(byTestId("announcements"), words);
    }, pause);
  }

  /** Open the image that a link leads to, once it is there. */
  #openWanted() {
    if (!this.wanted) return;
    const card = this.desk.shownCards[this.wanted - 1];
    if (!card?.item.hasImage) return;
    this.wanted = 0;
    this.detail.open(card);
  }

  #tellIfEmpty() {
    if (!this.desk.isEmpty) return;
    if (this.source.isUnfinished) {
      this.#tellEmpty("No image yet", "Images appear here as soon as a task begins to make one.");
    } else {
      this.#tellEmpty(
        "No Apiframe images here",
        "Images show up here that tasks of the Apiframe provider make, FluxGenerateOperator or " +
          "ApiframeJobSensor for instance.",
      );
    }
  }

  #tellEmpty(title, words) {
    const empty = byTestId("empty");
    setText(find(empty, "h2"), title);
    setText(find(empty, "p"), words);
    setHidden(empty, false);
  }

  #tellTrouble(error) {
    const words = TROUBLE[error.status] ?? `Airflow answered with an error (${error.status}).`;
    setText(find(byTestId("notice"), "p"), words);
    setHidden(byTestId("notice"), false);
    setHidden(byTestId("sign-in"), error.status !== 401);
    const next = encodeURIComponent(location.href);
    byTestId("sign-in").href = `${BASE}/api/v2/auth/login?next=${next}`;
  }

  #clicked(event) {
    const card = event.target.closest(".open")?.closest(".card")?.card;
    if (card) this.detail.open(card);
  }

  #picked(event) {
    const card = event.target.closest(".card")?.card;
    if (card) this.picks.pick(card);
  }

  /** Arrow keys move from card to card, as they lie. */
  #moved(event) {
    const card = event.target.closest(".open")?.closest(".card")?.card;
    if (!card || event.altKey || event.ctrlKey || event.metaKey) return;
    const cards = this.desk.shownCards;
    const at = cards.indexOf(card);
    const top = cards[0].element.offsetTop;
    const columns = Math.max(1, cards.filter((each) => each.element.offsetTop === top).length);
    const target = {
      ArrowLeft: at - 1,
      ArrowRight: at + 1,
      ArrowUp: at - columns,
      ArrowDown: at + columns,
      Home: 0,
      End: cards.length - 1,
    }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    cards[target]?.open.focus();
  }
}

followLinksOutside();
growLowFrame();
const wanted = ownQuery();
const source = wanted.asset_id ? new AssetSource(wanted) : new RunSource(wanted);
new Gallery(source, Number(wanted.n) || 0).start();
