// The kill switch: a plan first, then a typed confirmation, then its progress, then what came of it.

import { byId, el, ms, say } from "./dom.js";
import { level } from "./cancels.js";
import { call } from "./stream.js";

const TIMEOUT_MS = 30000;
const dialog = byId("kill"), said = byId("kill-said"), typed = byId("kill-typed"), go = byId("kill-go");
const symbol = byId("kill-symbol"), planButton = byId("kill-plan");
let target = null, token = null, planned = null, running = null;

export function readyKill() {
  planButton.addEventListener("click", plan);
  symbol.addEventListener("input", () => withdraw("The symbol has changed: show the plan again."));
  typed.addEventListener("input", ready);
  byId("kill-form").addEventListener("submit", (submit) => {
    submit.preventDefault();
    if (!go.disabled) kill();
    else if (!running) plan();
  });
}

export function openKill(state, with_token) {
  if (running) {
    dialog.showModal();
    return;
  }
  target = state;
  token = with_token;
  say(byId("kill-target"), word());
  say(byId("kill-word"), word());
  symbol.value = "";
  withdraw("");
  dialog.showModal();
  plan();
}

const word = () => `${target.venue}:${target.account}`;

function path(more) {
  const query = new URLSearchParams({ account: target.account, ...more });
  if (symbol.value.trim()) query.set("symbol", symbol.value.trim());
  return `console/api/orders/${encodeURIComponent(target.venue)}?${query}`;
}

/** Without a plan that fits nothing can be confirmed. */
function withdraw(why) {
  planned = null;
  typed.value = "";
  typed.disabled = true;
  said.replaceChildren(el("p", { class: "empty" }, why));
  ready();
}

function ready() {
  go.disabled = !planned || running !== null || typed.value.trim() !== word();
}

async function ask(method, where, headers) {
  try {
    return await call(token, method, where, { "X-Request-Timeout-Ms": String(TIMEOUT_MS), ...headers });
  } catch {
    return { status: 0, body: {} };
  }
}

async function plan() {
  withdraw("Listing the open orders …");
  const asked = path({ plan: "true" });
  const { status, body } = await ask("DELETE", asked);
  if (asked !== path({ plan: "true" })) return;
  if (status !== 200) {
    said.replaceChildren(fault(body, "The gateway does not answer; nothing was sent."));
    return;
  }
  planned = body;
  typed.disabled = false;
  ready();
  said.replaceChildren(...planParts(body));
  typed.focus();
}

function planParts(body) {
  const many = body.open === null ? "an unknown number of" : body.open;
  const parts = [el("p", { class: "figures" },
    figure(many === 0 ? "0" : String(many), "open orders"), figure(String(body.requests), `requests, by ${body.strategy.replaceAll("_", " ")}`),
    figure(ms(body.slot.takes_ms), "until the last one leaves"))];
  if (body.would !== "send") parts.push(el("p", { class: "fault" }, `Now it would end as ${body.would}.`));
  if (body.orders.length) {
    const more = (body.open ?? 0) - body.orders.length;
    parts.push(el("p", { class: "orders ref" }, body.orders.join("  ") + (more > 0 ? `  and ${more} more` : "")));
  }
  for (const each of body.calls.slice(0, 3)) parts.push(el("p", { class: "call ref" }, `${each.method} ${each.url}`));
  if (body.note) parts.push(el("p", { class: "note" }, body.note));
  return parts;
}

const figure = (value, name) => el("span", { class: "figure" }, el("b", {}, value), el("small", {}, name));
const fault = (body, otherwise) => el("p", { class: "fault" }, body.outcome ? `${body.outcome}: ${body.detail}` : otherwise);

async function kill() {
  const id = `console-${crypto.randomUUID?.() ?? Math.random().toString(36).slice(2)}`;
  running = { id, began: Date.now(), figures: progressParts() };
  typed.disabled = symbol.disabled = planButton.disabled = true;
  ready();
  said.replaceChildren(...running.figures.parts);
  const ticking = setInterval(() => say(running.figures.time, ms(Date.now() - running.began)), 100);
  const { status, body } = await ask("DELETE", path({}), { "X-Request-ID": id, "Idempotency-Key": id });
  clearInterval(ticking);
  running = planned = null;
  symbol.disabled = planButton.disabled = false;
  typed.value = "";
  ready();
  said.replaceChildren(...endParts(status, body));
}

function progressParts() {
  const [left, requests, rounds, time] = ["…", "0", "0", "0 ms"].map((text) => el("b", {}, text));
  const named = (value, name) => el("span", { class: "figure" }, value, el("small", {}, name));
  const bar = el("progress", { "aria-label": "cancelled so far" });
  return { left, requests, rounds, time, bar, parts: [bar, el("p", { class: "figures" }, named(left, "still open"), named(requests, "requests"), named(rounds, "rounds"), named(time, "since it began"))] };
}

/** News of the kills at work; ours moves the bar. */
export function showKills(kills) {
  const ours = running && kills.find((each) => each.request_id === running.id);
  if (!ours) return;
  const { left, requests, rounds, bar } = running.figures;
  const most = ours.open_before ?? planned?.open ?? null, told = Object.values(ours.outcomes).reduce((sum, count) => sum + count, 0);
  say(left, ours.open_after ?? (most === null ? "?" : Math.max(0, most - told)));
  say(requests, ours.requests);
  say(rounds, ours.rounds);
  if (most) {
    bar.max = most;
    bar.value = Math.min(most, Math.max(told, ours.open_after === null ? 0 : most - ours.open_after));
  }
}

function endParts(status, body) {
  if (!status) {
    return [el("p", { class: "fault" }, "The connection was lost. The kill goes on by itself; show the plan again to see what is open.")];
  }
  if (body.proven === undefined) return [fault(body, `status ${status}`)];
  const counts = Object.entries(body.outcomes).map(([outcome, count]) => el("span", { class: "outcome", "data-level": level(outcome) }, `${count} ${outcome}`));
  const parts = [
    el("p", { class: body.proven ? "proven" : "fault" }, body.proven ? "Proven: nothing is open any more." : `Not proven empty (${body.outcome}).`),
    el("p", { class: "figures" }, figure(body.open_after ?? "?", "still open"), figure(body.requests, "requests"), figure(body.rounds, "rounds")),
    el("p", { class: "counts" }, ...counts),
  ];
  if (body.left.length) parts.push(el("p", { class: "orders ref" }, body.left.join("  ")));
  for (const text of [body.detail, body.note]) if (text) parts.push(el("p", { class: "note" }, text));
  return parts;
}
