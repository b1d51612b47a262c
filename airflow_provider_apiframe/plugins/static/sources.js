// Which task instances there are: of a run, of one task of it, or of an asset's events.

import { assetPage, get, getAll, runPage, runPath } from "./airflow.js";

const UNFINISHED = new Set(["queued", "running"]);
const CONNECTION = "apiframe_conn_id"; // all tasks of this provider template it
const OPERATORS = new Set([
  "FluxGenerateOperator",
  "@task.flux",
  "ImageGenerateOperator",
  "@task.image",
  "ImageUpscaleOperator",
  "ImageEditOperator",
  "ImageBackgroundRemoveOperator",
  "MidjourneyActionOperator",
  "CandidateImageOperator",
  "ApiframeJobSensor",
]);
const HANDS_ON = "ChosenImageOperator"; // an image of another task: only its own tab shows it
const OVERLAP = 30_000; // ms: clocks of server and database differ, and writes take a moment

/** The task instances of a run; of one task, or of one mapped task, where the tab is its. */
export class RunSource {
  constructor({ dag_id, run_id, task_id, map_index, region_id, region_index }) {
    this.dagId = dag_id;
    this.runId = run_id;
    this.taskId = task_id;
    // The UI leaves "{MAP_INDEX}" as it is where a task is not mapped.
    this.mapIndex = /^-?\d+$/.test(map_index ?? "") ? Number(map_index) : undefined;
    this.regionId = region_id;
    this.regionIndex = region_id ? Number(region_index) : undefined;
    this.isUnfinished = true;
    this.order = new Map();
    this.ourTasks = new Set();
    this.readAt = null;
  }

  get title() {
    return this.taskId ?? this.dagId;
  }

  get subtitle() {
    return this.taskId ? `${this.dagId} · ${this.runId}` : this.runId;
  }

  /** Its page in Airflow. */
  get page() {
    return runPage(this.dagId, this.runId);
  }

  /** Give `onInstances` what is new or has changed since the last call. */
  async refresh(onInstances) {
    const path = runPath(this.dagId, this.runId);
    // First, for it may end while its tasks are read.
    const [run] = await Promise.all([get(path), this.readAt === null && this.#readTasks()]);
    const changes = this.readAt && { updated_at_gte: new Date(this.readAt).toISOString() };
    const date = await getAll(
      `${path}/taskInstances`,
      { task_id: this.taskId, map_index: this.mapIndex, order_by: "map_index", ...changes },
      "task_instances",
      (instances) => onInstances(instances.filter((ti) => this.#isWanted(ti))),
    );
    this.isUnfinished = UNFINISHED.has(run.state);
    this.readAt = Number.isNaN(date) ? null : date - OVERLAP;
  }

  /** Compare two task instances: by the place of their tasks in the DAG, then by map index. */
  compare(one, other) {
    const place = (ti) => this.order.get(ti.task_id) ?? Infinity;
    const [a, b] = [place(one), place(other)];
    return (
      (a === b ? 0 : a - b) ||
      one.task_id.localeCompare(other.task_id) ||
      (one.region_id ?? "").localeCompare(other.region_id ?? "") ||
      (one.region_index ?? one.map_index) - (other.region_index ?? other.map_index)
    );
  }

  async #readTasks() {
    try {
      const { tasks } = await get(`dags/${encodeURIComponent(this.dagId)}/tasks`);
      this.order = depths(tasks);
      const ours = tasks.filter((task) => task.template_fields?.includes(CONNECTION));
      this.ourTasks = new Set(ours.map((task) => task.task_id));
    } catch (error) {
      // A DAG that is gone; its runs and what they rendered are still there.
      if (error.status !== 404) throw error;
    }
  }

  #isWanted(ti) {
    if (this.taskId !== undefined && ti.task_id !== this.taskId) return false;
    if (this.mapIndex !== undefined && ti.map_index !== this.mapIndex) return false;
    if (this.regionId && ti.region_id !== this.regionId) return false;
    if (this.regionId && ti.region_index !== this.regionIndex) return false;
    // The arguments of old runs are not kept, and tasks of an older DAG are not listed.
    return (
      this.ourTasks.has(ti.task_id) ||
      CONNECTION in (ti.rendered_fields ?? {}) ||
      OPERATORS.has(ti.operator_name) ||
      (this.taskId !== undefined && ti.operator_name === HANDS_ON)
    );
  }
}

/** Return how many tasks come before each task at least, by the DAG's longest way to it. */
function depths(tasks) {
  const depth = new Map(tasks.map((task) => [task.task_id, 0]));
  // No way is longer than there are tasks.
  for (let round = 0, changed = true; changed && round < tasks.length; round += 1) {
    changed = false;
    for (const { task_id: id, downstream_task_ids: next } of tasks) {
      for (const other of next ?? []) {
        if (depth.get(other) > depth.get(id)) continue;
        depth.set(other, depth.get(id) + 1);
        changed = true;
      }
    }
  }
  return depth;
}

/** The task instances behind an asset's events, newest first (Airflow 3.4). */
export class AssetSource {
  constructor({ asset_id }) {
    this.assetId = asset_id;
    this.isUnfinished = false;
    this.title = "Images of this asset";
    this.subtitle = "";
    this.page = assetPage(asset_id);
    this.count = 0;
    this.hasOlder = false;
  }

  async refresh(onInstances, offset = 0) {
    const { asset_events: events, total_entries: total } = await get("assets/events", {
      asset_id: this.assetId,
      order_by: "-timestamp",
      limit: 100,
      offset,
    });
    this.count = Math.max(this.count, offset + events.length);
    this.hasOlder = events.length > 0 && this.count < total;
    // What a task of this provider saved has a job.
    const ours = events.filter((event) => event.extra?.job_id && event.source_task_id);
    const instances = ours.map(asInstance);
    onInstances(instances);
  }

  async readOlder(onInstances) {
    await this.refresh(onInstances, this.count);
  }

  compare(one, other) {
    return other.event_time.localeCompare(one.event_time) || one.map_index - other.map_index;
  }
}

function asInstance(event) {
  const seed = event.extra.seed;
  return {
    dag_id: event.source_dag_id,
    dag_run_id: event.source_run_id,
    task_id: event.source_task_id,
    map_index: event.source_map_index,
    state: "success",
    try_number: 0,
    event_time: event.timestamp,
    rendered_fields: { flux_params: seed === undefined ? {} : { seed } },
  };
}
