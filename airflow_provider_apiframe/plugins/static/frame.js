// Links that leave the frame. Airflow's sandbox for it allows scripts and the same origin, but
// neither downloads nor other windows; a link of Airflow's own page may have both.

import { airflowDocument } from "./theme.js";

function follow(event) {
  const link = event.target.closest?.("a[href]");
  const outer = airflowDocument();
  if (!link || !outer || event.button > 1) return;
  event.preventDefault();
  const copy = outer.createElement("a");
  copy.href = link.href;
  copy.rel = "noopener noreferrer";
  const inNewTab = event.ctrlKey || event.metaKey || event.button === 1;
  copy.target = inNewTab ? "_blank" : link.target;
  if (link.hasAttribute("download")) copy.download = link.download;
  outer.body.append(copy);
  copy.click();
  copy.remove();
}

const LOW = 320; // px; 150 is what browsers give a frame without a height, and Airflow 3.4 on assets

/** Let a frame that is too low to show an image reach down to the end of the window. */
export function growLowFrame() {
  const frame = airflowDocument() && window.frameElement;
  if (!frame || innerHeight >= LOW) return;
  const top = Math.max(0, frame.getBoundingClientRect().top);
  frame.style.minHeight = `max(${LOW}px, calc(100vh - ${Math.round(top) + 24}px))`;
}

export function followLinksOutside() {
  document.addEventListener("click", follow);
  document.addEventListener("auxclick", follow);
}

/** Put text on the clipboard. Browsers have the new way on https and localhost only. */
export async function copyText(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const field = document.createElement("textarea");
  field.value = text;
  const place = document.querySelector("dialog[open]") ?? document.body;
  place.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  if (!copied) throw new Error("This browser did not copy the text");
}
