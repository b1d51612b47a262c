// Airflow's public REST API with the viewer's session, and the page's place in Airflow.

const MAX_REQUESTS = 6; // at a time; a browser opens no more connections to a host either
const MAX_SECONDS = 30;
const PAGE = 100; // entries; Airflow's default limit

/** Where Airflow is: this page is <base>/apiframe/gallery. */
export const BASE = location.pathname.replace(/\/apiframe\/gallery\/?$/, "");

/** What Airflow answered instead of what was asked for; status 0: nothing. */
export class ApiError extends Error {
  constructor(status, detail) {
    super(detail || `HTTP ${status}`);
    this.status = status;
    this.detail = detail;
  }

  /** Whether asking again by itself is of no use. */
  get isFinal() {
    return this.status >= 400 && this.status < 500 && this.status !== 429;
  }
}

/** Encode a query; "+" too, which run ids have in their times. */
export function query(parameters) {
  return Object.entries(parameters)
    .filter(([, value]) => value !== undefined && value !== null && value !== "")
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join("&");
}

/** Read this page's own query. A "+" stays one: Airflow 3.1 does not encode it. */
export function ownQuery() {
  const parameters = {};
  for (const part of location.search.slice(1).split("&")) {
    const [name, ...value] = part.split("=");
    try {
      parameters[name] ??= decodeURIComponent(value.join("="));
    } catch {
      parameters[name] ??= value.join("="); // a stray "%", which Airflow 3.1 does not encode
    }
  }
  return parameters;
}

const waiting = [];
let running = 0;

/** Run work within the limit of requests; what is urgent when a place is free comes first. */
function inTurn(isUrgent, work) {
  return new Promise((resolve, reject) => {
    waiting.push({ isUrgent, work, resolve, reject });
    startNext();
  });
}

function startNext() {
  while (running < MAX_REQUESTS && waiting.length) {
    const urgent = waiting.findIndex((each) => each.isUrgent());
    const [next] = waiting.splice(Math.max(0, urgent), 1);
    running += 1;
    next
      .work()
      .then(next.resolve, next.reject)
      .finally(() => {
        running -= 1;
        startNext();
      });
  }
}

async function request(path) {
  let response;
  let answer = null;
  try {
    response = await fetch(`${BASE}/api/v2/${path}`, {
      headers: { Accept: "application/json" },
      credentials: "same-origin",
      signal: AbortSignal.timeout(MAX_SECONDS * 1000),
    });
    answer = await response.json();
  } catch (error) {
    if (!response) throw new ApiError(0, error.message);
    if (response.ok) throw new ApiError(502, "Airflow's answer is no JSON");
  }
  if (response.ok) return { answer, date: Date.parse(response.headers.get("Date") ?? "") };
  const detail = typeof answer?.detail === "string" ? answer.detail : answer?.error;
  throw new ApiError(response.status, typeof detail === "string" ? detail : "");
}

/** GET from the API; `isUrgent` is asked whenever a request may start. */
export async function get(path, parameters = {}, isUrgent = () => true) {
  const { answer } = await inTurn(isUrgent, () => request(`${path}?${query(parameters)}`));
  return answer;
}

/** GET all entries of a list, page by page; `onPage` gets each as it comes. Returns the time. */
export async function getAll(path, parameters, name, onPage) {
  const page = (offset) =>
    inTurn(
      () => true,
      () => request(`${path}?${query({ ...parameters, limit: PAGE, offset })}`),
    );
  const { answer, date } = await page(0);
  onPage(answer[name]);
  // Airflow may be set to give less than was asked for.
  const size = answer[name].length;
  const offsets = [];
  for (let at = size; size && at < answer.total_entries; at += size) offsets.push(at);
  await Promise.all(offsets.map(async (offset) => onPage((await page(offset)).answer[name])));
  return date;
}

const path = (...parts) => parts.map(encodeURIComponent).join("/");

export const runPath = (dagId, runId) => `dags/${path(dagId)}/dagRuns/${path(runId)}`;

export const taskPath = (ti) =>
  `${runPath(ti.dag_id, ti.dag_run_id)}/taskInstances/${path(ti.task_id)}`;

/** What else names a task instance in Airflow 3.4, where loops repeat map indexes. */
export const region = (ti) =>
  ti.region_id ? { region_id: ti.region_id, region_index: ti.region_index } : {};

/** Pages of Airflow. */
export const assetPage = (id) => `${BASE}/assets/${encodeURIComponent(id)}`;

export const runPage = (dagId, runId) => `${BASE}/${path("dags", dagId, "runs", runId)}`;

export function taskPage(ti) {
  const task = path("tasks", ti.task_id);
  const index = ti.map_index >= 0 ? `/mapped/${ti.map_index}` : "";
  return `${runPage(ti.dag_id, ti.dag_run_id)}/${task}${index}`;
}

/** The gallery's own view of an image, as a link to give away. */
export function imagePage(ti, n) {
  const { dag_id, dag_run_id: run_id, task_id, map_index } = ti;
  const address = query({ dag_id, run_id, task_id, map_index, ...region(ti), n });
  return `${location.origin}${BASE}/apiframe/gallery?${address}`;
}

/** Where the API server hands out a saved image; `sha256` makes a new image a new address. */
export function storedImage(ti, n, sha256, size) {
  const { dag_id, dag_run_id: run_id, task_id, map_index } = ti;
  const v = sha256.slice(0, 12);
  const address = query({ dag_id, run_id, task_id, map_index, ...region(ti), n, size, v });
  return `${BASE}/apiframe/image?${address}`;
}
