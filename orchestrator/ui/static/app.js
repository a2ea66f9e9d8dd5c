// Steps through decisions with the arrow keys and keeps live pages up to date. Every page works without it.
"use strict";

const editable = (element) =>
  element instanceof HTMLElement && (element.isContentEditable || element.matches("input, textarea, select"));

/** Put what differs of another version of this page in the place of what is shown. */
function swap(fresh, keepForms) {
  for (const region of document.querySelectorAll("[data-region]")) {
    const next = fresh.getElementById(region.id);
    if (!next || next.innerHTML === region.innerHTML) continue;
    if (keepForms && region.querySelector("form") && (region.contains(document.activeElement) || touched(region))) continue;
    const focused = focusOf(region);
    const scrolls = [...region.querySelectorAll(".scroll, .lines")].map((box) => [box.scrollLeft, box.scrollTop]);
    region.replaceWith(document.importNode(next, true));
    const now = document.getElementById(next.id);
    [...now.querySelectorAll(".scroll, .lines")].forEach((box, n) => {
      if (scrolls[n]) [box.scrollLeft, box.scrollTop] = scrolls[n];
    });
    if (focused) focusAgain(now, focused);
    if (!fresh.body.hasAttribute("data-live")) load(now);
  }
  document.title = fresh.title;
}

function touched(region) {
  return [...region.querySelectorAll("input:not([type=hidden]), textarea, select")].some((field) =>
    field.type === "radio" || field.type === "checkbox" ? field.checked !== field.defaultChecked
      : field.tagName === "SELECT" ? [...field.options].some((o) => o.selected !== o.defaultSelected && o.index > 0)
        : field.value !== field.defaultValue);
}

/** How to find the focused element again: by its key, else by its address. */
function focusOf(region) {
  const element = document.activeElement;
  if (!element || !region.contains(element)) return null;
  return { key: element.dataset.key, href: element.getAttribute("href"), label: element.getAttribute("aria-label") };
}

function focusAgain(region, { key, href, label }) {
  const all = [...region.querySelectorAll("a, button, [tabindex]")];
  const found = all.find((e) => key && e.dataset.key === key)
    || all.find((e) => href && e.getAttribute("href") === href)
    || all.find((e) => label && e.getAttribute("aria-label") === label);
  if (found) found.focus({ preventScroll: true });
}

async function read(address) {
  const answer = await fetch(address, { credentials: "same-origin", headers: { accept: "text/html" } });
  if (!answer.ok) throw new Error(String(answer.status));
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

/** Zoom of the tool graph: null for as large as fits, down to where names can be read; a number once chosen by hand. */
let zoom = null;

function fitGraph(find) {
  const graph = document.querySelector(".toolgraph");
  if (!graph) return;
  const box = graph.closest(".scroll"), room = box.clientWidth - 32, full = graph.viewBox.baseVal.width;
  const scale = zoom === null ? Math.min(1, Math.max(0.72, room / full)) : zoom === "fit" ? Math.min(1, room / full) : zoom;
  document.documentElement.style.setProperty("--zoom", scale.toFixed(3));
  const focus = find && graph.querySelector("[data-focus]");
  if (!focus) return;
  const shape = focus.getBoundingClientRect(), place = box.getBoundingClientRect();
  box.scrollLeft += shape.left - place.left - (place.width - shape.width) / 2;
}

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-zoom]") : null;
  if (!button) return;
  const now = Number(document.documentElement.style.getPropertyValue("--zoom")) || 1;
  zoom = { in: Math.min(3, now * 1.25), out: Math.max(0.1, now / 1.25), fit: "fit" }[button.dataset.zoom];
  fitGraph(true);
});

document.documentElement.classList.add("js");
fitGraph(true);
addEventListener("resize", () => fitGraph(false));

/** Scroll the timeline to the decision that is shown. */
function showCurrent() {
  const current = document.querySelector('[aria-current="step"]');
  if (!current) return;
  const list = current.closest(".lines");
  const line = current.getBoundingClientRect(), box = list.getBoundingClientRect();
  if (line.top < box.top || line.bottom > box.bottom) list.scrollTop += line.top - box.top - box.height / 3;
}

showCurrent();

let stepping = 0;

async function step(address, remember) {
  const mine = ++stepping;
  try {
    const fresh = await read(address);
    if (mine !== stepping) return;
    if (remember) history.pushState({}, "", address);
    swap(fresh, true);
    fitGraph(true);
    document.body.toggleAttribute("data-live", fresh.body.hasAttribute("data-live"));
    showCurrent();
    const title = document.getElementById("snapshot-h"), chosen = document.querySelector(".snapshot .chosen");
    document.getElementById("announce").textContent = [title, chosen].map((e) => (e ? e.textContent.trim().replace(/\s+/g, " ") : "")).join(". ");
  } catch {
    location.assign(address);
  }
}

document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a[data-step]") : null;
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  step(link.getAttribute("href"), true);
});

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (editable(event.target) || !["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
  const box = event.target instanceof Element ? event.target.closest(".scroll") : null;
  if (box && box.scrollWidth > box.clientWidth) return; // the arrows scroll what is focused and wider than its place
  const link = document.querySelector(`a[data-key="${event.key}"]`);
  if (!link) return;
  event.preventDefault();
  step(link.getAttribute("href"), true);
});

window.addEventListener("popstate", () => step(location.pathname + location.search, false));

/** What takes long to find out is asked for once the page is there. */
async function load(place) {
  for (const link of place.querySelectorAll("a[data-load]")) {
    link.removeAttribute("data-load");
    try {
      const found = (await read(link.getAttribute("href"))).querySelector(".badge");
      if (found) link.replaceWith(document.importNode(found, true));
    } catch { /* the link stays, to be followed by hand */ }
  }
}

load(document);

async function follow() {
  const wait = document.querySelector(".snapshot") ? 1000 : 3000;
  if (document.body.hasAttribute("data-live") && document.visibilityState === "visible" && !editable(document.activeElement)) {
    const mine = stepping;
    try {
      const fresh = await read(location.pathname + location.search);
      if (mine === stepping) {
        swap(fresh, true);
        document.body.toggleAttribute("data-live", fresh.body.hasAttribute("data-live"));
      }
    } catch { /* the viewer was stopped, or is busy: try again */ }
  }
  setTimeout(follow, wait);
}

setTimeout(follow, 1000);
