// The jobs and their cards: kept in order, read nearest first, shown by the filters.

import { byId, find, setHidden, setOptions, setText } from "./dom.js";
import { keyOf, Job } from "./job.js";
import { Card, Item } from "./card.js";
import { credits, plural } from "./format.js";

const STAGES = [
  ["done", "Done"],
  ["making", "Being made"],
  ["failed", "Failed"],
  ["unmade", "Not made"],
];

export class Desk {
  #jobs = new Map();
  #cards = new Map(); // key of job -> its cards
  #list = find(document, ".cards");
  #near = new IntersectionObserver((seen) => this.#seen(seen), { rootMargin: "800px 0px" });

  constructor(source, onRead) {
    this.source = source;
    this.onRead = onRead;
  }

  get jobs() {
    return [...this.#jobs.values()];
  }

  /** The cards that are shown, in order. */
  get shownCards() {
    return [...this.#list.children].map((each) => each.card).filter((card) => !card.element.hidden);
  }

  get isEmpty() {
    return this.#jobs.size === 0;
  }

  /** Take over task instances that are new or have changed. */
  take(instances) {
    for (const ti of instances) {
      const key = keyOf(ti);
      const known = this.#jobs.get(key);
      if (known) known.update(ti);
      else this.#jobs.set(key, new Job(ti));
      // Before a task is expanded one instance without an index stands for all of them.
      if (ti.map_index >= 0) this.#forget(keyOf({ ...ti, map_index: -1 }));
    }
    if (!instances.length) return;
    for (const ti of instances) this.#draw(keyOf(ti));
    this.#order();
    this.show();
  }

  /** Read what is not read yet; cards change as answers come. Rejects if one cannot be read. */
  async read() {
    const unread = [...this.#jobs].filter(([, job]) => job.needsReading);
    const outcomes = await Promise.allSettled(
      unread.map(async ([key, job]) => {
        await job.read();
        this.#draw(key);
        this.onRead();
      }),
    );
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed) throw failed.reason;
    if (unread.length) this.#order();
  }

  /** Ask how far the jobs are whose cards are near. */
  async readProgress() {
    const making = [...this.#jobs].filter(([, job]) => job.stage === "making");
    await Promise.all(
      making
        .filter(([, job]) => job.isNear)
        .map(async ([key, job]) => {
          await job.readProgress();
          this.#draw(key);
        }),
    );
  }

  #draw(key) {
    const job = this.#jobs.get(key);
    if (!job) return; // forgotten while it was read
    const cards = this.#cards.get(key) ?? [];
    const count = Math.max(1, job.images.length);
    while (cards.length > count) this.#remove(cards.pop());
    while (cards.length < count) {
      const card = new Card(new Item(job, cards.length + 1));
      const before = cards.at(-1)?.element;
      if (before) before.after(card.element);
      else this.#list.append(card.element);
      this.#near.observe(card.element);
      cards.push(card);
    }
    this.#cards.set(key, cards);
    for (const card of cards) {
      card.item.count = count;
      card.update();
    }
  }

  #forget(key) {
    this.#cards.get(key)?.forEach((card) => this.#remove(card));
    this.#cards.delete(key);
    this.#jobs.delete(key);
  }

  #remove(card) {
    this.#near.unobserve(card.element);
    card.element.remove();
  }

  /** Put the cards in order; those that are in place already are not touched. */
  #order() {
    const sorted = [...this.#jobs].sort(([, one], [, other]) =>
      this.source.compare(one.ti, other.ti),
    );
    let at = this.#list.firstElementChild;
    for (const [key] of sorted) {
      for (const { element } of this.#cards.get(key) ?? []) {
        if (element === at) at = at.nextElementSibling;
        else this.#list.insertBefore(element, at);
      }
    }
  }

  #seen(entries) {
    for (const { target, isIntersecting } of entries) {
      if (target.card) target.card.item.job.isNear = isIntersecting;
    }
  }

  /** Jobs that only hand theirs on to a task that collects it need no card of their own. */
  #isHandedOn(job, collected) {
    return job.result !== null && !job.images.length && collected.has(job.jobId);
  }

  /** Apply the filters and tell the totals. */
  show() {
    const wanted = {
      words: byId("search").value.toLowerCase().split(/\s+/).filter(Boolean),
      task: byId("task").value,
      stage: byId("state").value,
    };
    const jobs = this.jobs;
    const collected = new Set(jobs.filter((job) => job.images.length).map((job) => job.jobId));
    const counts = { done: 0, making: 0, failed: 0, unmade: 0 };
    let shown = 0;
    let all = 0;
    for (const [key, cards] of this.#cards) {
      const isHandedOn = this.#isHandedOn(this.#jobs.get(key), collected);
      for (const { item, element } of cards) {
        if (!isHandedOn) {
          counts[item.stage] += 1;
          all += 1;
        }
        const isShown = !isHandedOn && item.matches(wanted);
        shown += isShown;
        setHidden(element, !isShown);
      }
    }
    this.#tellFilters(jobs, counts, shown, all);
    return { counts, shown, all, credits: this.#credits(jobs) };
  }

  #credits(jobs) {
    const paid = new Map(); // by job: two tasks may tell of one
    for (const job of jobs) if (job.credits !== null) paid.set(job.jobId, job.credits);
    return [...paid.values()].reduce((sum, cost) => sum + cost, 0);
  }

  #tellFilters(jobs, counts, shown, all) {
    const tasks = [...new Set(jobs.map((job) => job.ti.task_id))];
    const [task, state] = [byId("task"), byId("state")];
    if (task.options.length !== tasks.length + 1) {
      setOptions(task, [["", "All tasks"], ...tasks.map((id) => [id, id])]);
    }
    const stages = STAGES.filter(([stage]) => counts[stage] || state.value === stage);
    const options = [
      ["", "All states"],
      ...stages.map(([stage, name]) => [stage, `${name} (${counts[stage]})`]),
    ];
    if (
      options.map(([, label]) => label).join() !== [...state.options].map((o) => o.label).join()
    ) {
      setOptions(state, options);
    }
    setHidden(task, tasks.length < 2);
    setHidden(state, stages.length < 2);
    setHidden(find(document, ".filters"), all < 2);
    setText(find(document, ".shown"), shown === all ? "" : `${shown} of ${all} shown`);
  }
}

/** The totals as words: "24 images · 192 credits · 3 being made". */
export function totalsText({ counts, credits: cost }) {
  return [
    plural(counts.done, "image"),
    cost ? credits(cost) : "",
    counts.making ? `${counts.making} being made` : "",
    counts.failed ? `${counts.failed} failed` : "",
    counts.unmade ? `${counts.unmade} not made` : "",
  ]
    .filter(Boolean)
    .join(" · ");
}
