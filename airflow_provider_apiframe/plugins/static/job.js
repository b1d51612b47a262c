// One task instance and what it says of its job: read from Airflow, and told as facts of images.

import { get, imagePage, region, storedImage, taskPath } from "./airflow.js";

const AT_WORK = new Set(["running", "deferred", "up_for_reschedule"]);
const MAKING = new Map([
  ["queued", "Queued"],
  ["scheduled", "Scheduled"],
  ["running", "Being made"],
  ["restarting", "Restarting"],
  ["deferred", "Being made"],
  ["up_for_reschedule", "Being made"],
  ["up_for_retry", "Retrying soon"],
]);
const UNMADE = new Map([
  ["skipped", "Skipped"],
  ["upstream_failed", "Not started"],
  ["removed", "Removed"],
]);
const FAILED = new Set(["failed", "up_for_retry", "skipped"]); // a sensor may skip for an error
const MAX_READS = 6; // of a value that Airflow fails to give
const MAX_IMAGES = 100; // of a job; the image route hands out no more either

const PROGRESS = "apiframe_progress";
const NO_RESULT = "Its result is none of this provider's, or is kept by an XCom backend.";
const NO_XCOM =
  "It left no result as an XCom: it has do_xcom_push=False, or was marked as a success by hand.";

let hasStateStore = true; // Airflow 3.3 and newer

export const keyOf = (ti) =>
  JSON.stringify([ti.dag_id, ti.dag_run_id, ti.task_id, ti.map_index, region(ti)]);

export class Job {
  constructor(ti) {
    this.isNear = false; // near what is seen, and so read first
    this.result = null;
    this.failure = null;
    this.progress = null;
    this.problem = null; // why the result cannot be read
    this.isRead = false;
    this.reads = 0;
    this.update(ti);
  }

  /** Take over what Airflow says now; forget what was read if it may be another. */
  update(ti) {
    const life = JSON.stringify([ti.state, ti.try_number, ti.start_date, ti.end_date]);
    if (ti.try_number !== this.ti?.try_number) this.progress = null;
    this.ti = ti;
    if (life === this.life) return;
    this.life = life;
    this.isRead = false;
    this.reads = 0;
    if (ti.state !== "success") this.result = this.problem = null;
    if (!FAILED.has(ti.state)) this.failure = null;
  }

  /** One of "done", "making", "failed", "unmade". */
  get stage() {
    const { state } = this.ti;
    if (state === "success") return "done";
    if (state === "failed") return "failed";
    return UNMADE.has(state) ? "unmade" : "making";
  }

  /** Whether a task waits for the image just now. */
  get isAtWork() {
    return AT_WORK.has(this.ti.state);
  }

  get stateWord() {
    const { state } = this.ti;
    if (state === "success") {
      return this.result && !this.images.length ? "Submitted" : "Done";
    }
    if (state === "failed") return this.failure?.isRefusal ? "Refused" : "Failed";
    const status = this.progress?.status;
    if (this.stage === "making" && status === "QUEUED") return "In the queue";
    return MAKING.get(state) ?? UNMADE.get(state) ?? "Not started yet";
  }

  /** Whether it is known what the task has made. */
  get isAnswered() {
    return this.result !== null || this.problem !== null;
  }

  get needsReading() {
    return !this.isRead && this.reads < MAX_READS;
  }

  /** Read what the state says there may be. */
  async read() {
    const { state } = this.ti;
    const life = this.life;
    this.isRead = true;
    if (state === "success") {
      const { value, problem } = await this.#xcom("return_value");
      if (life !== this.life) return;
      this.result = asResult(value);
      this.problem = this.result ? null : (problem ?? NO_RESULT);
    } else if (FAILED.has(state)) {
      const { value } = await this.#xcom("failure");
      if (life === this.life) this.failure = asFailure(value);
    }
  }

  /** Read how far the job is, where Airflow keeps it: as an XCom while the task is deferred. */
  async readProgress() {
    if (!hasStateStore || !this.isAtWork) return;
    const places = [`state-store/${PROGRESS}`];
    if (this.ti.state === "deferred") places.unshift(`xcomEntries/${PROGRESS}`);
    for (const place of places) {
      try {
        const address = `${taskPath(this.ti)}/${place}`;
        const { value } = await get(address, this.#address(), () => this.isNear);
        const progress = asProgress(value);
        if (!(progress.at < this.progress?.at)) this.progress = progress;
        return;
      } catch (error) {
        if (error.status !== 404) throw error;
        if (/route not found/i.test(error.detail)) hasStateStore = false;
      }
    }
  }

  get images() {
    const images = this.result?.images;
    if (!Array.isArray(images)) return [];
    return images.slice(0, MAX_IMAGES).filter((image) => image && typeof image === "object");
  }

  get jobId() {
    return this.result?.job_id ?? this.failure?.job_id ?? null;
  }

  get arguments() {
    return this.ti.rendered_fields ?? {};
  }

  get prompt() {
    return text(this.result?.prompt) ?? text(this.arguments.prompt) ?? "";
  }

  get model() {
    return text(this.result?.model) ?? text(this.arguments.model);
  }

  /** The model's parameters as they were rendered. */
  get params() {
    let params = this.arguments.flux_params ?? this.arguments.params;
    if (typeof params === "string") {
      try {
        params = JSON.parse(params);
      } catch {
        return params.trim() && params !== "None" ? { parameters: params } : {};
      }
    }
    return params && typeof params === "object" ? params : {};
  }

  get credits() {
    const credits = this.result?.credit_cost;
    return typeof credits === "number" ? credits : null;
  }

  /** Seconds the job took, or has taken so far. */
  get seconds() {
    const { start_date: start, end_date: end } = this.ti;
    const of = (from, to) => (from && to ? (Date.parse(to) - Date.parse(from)) / 1000 : null);
    const made = of(this.result?.created_at, this.result?.completed_at);
    if (made !== null && made >= 0) return made;
    if (this.stage === "making") {
      return this.isAtWork && start ? of(start, new Date().toISOString()) : null;
    }
    return of(start, end);
  }

  get label() {
    const { task_id: task, map_index: index, rendered_map_index: given } = this.ti;
    if (index < 0) return task;
    const isPrompt = given && this.prompt.startsWith(given.replace(/(\.\.\.|…)$/, ""));
    return `${task} · ${given && !isPrompt ? given : index}`;
  }

  /** Where image n is shown from: the best address first. */
  addresses(n, size) {
    const image = this.images[n - 1];
    const addresses = [];
    if (text(image?.uri) && text(image?.sha256)) {
      addresses.push(storedImage(this.ti, n, image.sha256, size));
    }
    if (/^https?:\/\//i.test(text(image?.url) ?? "")) addresses.push(image.url);
    return addresses;
  }

  /** A link to image n that others can open. */
  link(n) {
    const address = this.addresses(n)[0] ?? "";
    return /^https?:/i.test(address) ? address : imagePage(this.ti, n);
  }

  #address() {
    return { map_index: this.ti.region_id ? undefined : this.ti.map_index, ...region(this.ti) };
  }

  async #xcom(key) {
    this.reads += 1;
    const address = `${taskPath(this.ti)}/xcomEntries/${key}`;
    try {
      const { value } = await get(address, this.#address(), () => this.isNear);
      return { value };
    } catch (error) {
      if (error.status === 404) {
        return { problem: NO_XCOM };
      }
      this.isRead = false;
      throw error;
    }
  }
}

const text = (value) => (typeof value === "string" && value ? value : null);

/** XComs are stored as the JSON of a value; Airflow 3.1 stores what was edited as JSON of JSON. */
function decoded(value) {
  try {
    for (let times = 0; times < 2 && typeof value === "string"; times += 1)
      value = JSON.parse(value);
    return value;
  } catch {
    return null;
  }
}

function asResult(value) {
  const result = decoded(value);
  return text(result?.job_id) ? result : null;
}

function asFailure(value) {
  const failure = decoded(value);
  const reason = text(failure?.reason);
  if (!reason) return null;
  const isRefusal = /(?<!connection )refus|moderat|content.polic|flagged|nsfw/i.test(reason);
  return { job_id: text(failure.job_id), reason: reason.slice(0, 1000), isRefusal };
}

function asProgress(value) {
  const progress = decoded(value);
  const percent = progress?.progress;
  const isKnown = typeof percent === "number" && percent >= 0 && percent <= 100;
  const at = text(progress?.at) ?? "";
  return { status: text(progress?.status), percent: isKnown ? percent : null, at };
}
