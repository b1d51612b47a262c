// Facts as words.

const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

export const plural = (count, one, many = `${one}s`) =>
  `${NUMBER.format(count)} ${count === 1 ? one : many}`;

export const credits = (number) => plural(number, "credit");

export function duration(seconds) {
  if (seconds === null) return "";
  if (seconds < 10) return `${Math.round(seconds * 10) / 10} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

export const pixels = (width, height) => (width && height ? `${width} × ${height}` : "");

function bytes(size) {
  if (!size) return "";
  return size < 1_000_000 ? `${Math.round(size / 1000)} kB` : `${(size / 1e6).toFixed(1)} MB`;
}

const moment = (text) => (text ? new Date(text).toLocaleString() : "");

const shown = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));

/** All that is known of an image, as [name, value] pairs; the size as it was seen, if at all. */
export function allFacts(item, seenSize) {
  const { job, n } = item;
  const image = job.images[n - 1] ?? {};
  const pairs = [
    ["model", job.model],
    ...Object.entries(job.params).map(([name, value]) => [name.replaceAll("_", " "), shown(value)]),
    ["size", pixels(image.width, image.height) || seenSize],
    [
      "file",
      [shown(image.content_type ?? "").replace("image/", ""), bytes(image.bytes)]
        .filter(Boolean)
        .join(", "),
    ],
    [
      "credits",
      job.credits === null
        ? ""
        : `${NUMBER.format(job.credits)}${item.count > 1 ? ` for all ${item.count}` : ""}`,
    ],
    ["took", duration(job.seconds)],
    ["made at", moment(job.result?.completed_at ?? job.ti.end_date)],
    ["reused", job.result?.reused ? "yes: an earlier try had paid for it" : ""],
    ["task", job.label],
    ["try", job.ti.try_number > 1 ? String(job.ti.try_number) : ""],
    ["job id", job.jobId],
    ["saved as", image.uri],
    ["sha256", image.sha256],
  ];
  return pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
}

/** The line under the prompt. */
export function shortFacts(item) {
  const { job, n } = item;
  const image = job.images[n - 1] ?? {};
  const { seed, aspect_ratio: ratio } = job.params;
  return [
    job.model,
    pixels(image.width, image.height) ||
      item.seenSize ||
      (ratio && ratio !== "custom" ? shown(ratio) : ""),
    seed === undefined || seed === null ? "" : `seed ${shown(seed)}`,
  ]
    .filter(Boolean)
    .join(" · ");
}
