// Recent cancels, and a look into one record.

import { byId, clockTime, el, ms, say, short } from "./dom.js";
import { call } from "./stream.js";

const ROWS_MOST = 300;
const GOOD = new Set(["cancelled", "already_cancelled"]), TAKEN = new Set(["accepted", "in_progress"]);
const BAD = new Set(["unknown", "internal", "venue_banned", "venue_auth", "secret_unavailable", "venue_unavailable", "venue_limited"]);
const held = [];
// What the last minute came to, for the strip; a few ends of one kind may be anybody's mistake.
const LATELY_MS = 60_000, FEW = 3, SHARE = 0.2;
let lately = [];

export const level = (outcome) => (GOOD.has(outcome) ? "good" : TAKEN.has(outcome) ? "taken" : BAD.has(outcome) ? "bad" : "warn");

const body = byId("recent"), scroll = byId("recent-scroll"), filter = byId("filter");
let openOne = () => {};

export function watchRecent(openRecord) {
  openOne = openRecord;
  filter.addEventListener("input", () => [...body.rows].forEach(sift));
  scroll.addEventListener("mouseleave", release);
  scroll.addEventListener("focusout", () => setTimeout(release));
  body.addEventListener("click", (click) => {
    const row = click.target.closest("tr");
    if (row?.dataset.record) openOne(row.dataset.record);
  });
}

/** Rows under a pointer or with the focus stay where they are; what comes meanwhile waits. */
const reading = () => scroll.matches(":hover") || (scroll.contains(document.activeElement) && document.activeElement !== scroll);

export function addRecent(cancels, missed) {
  if (missed) held.push({ missed });
  lately.push(...cancels.filter((each) => each.event === "cancel.done" && each.venue));
  held.push(...cancels);
  held.splice(0, Math.max(0, held.length - ROWS_MOST));
  if (reading() && body.rows.length) say(byId("held"), `paused, ${held.length} new`);
  else release();
}

function release() {
  if (reading() && body.rows.length) return;
  const rows = held.splice(0).map((each) => (each.missed ? missedRow(each.missed) : cancelRow(each))).reverse();
  say(byId("held"), "");
  if (!rows.length) return;
  body.prepend(...rows);
  while (body.rows.length > ROWS_MOST) body.deleteRow(-1);
  byId("no-recent").hidden = true;
}

export function forgetRecent() {
  held.length = lately.length = 0;
  body.replaceChildren();
  byId("no-recent").hidden = false;
}

/** What the cancels of the last minute tell of venues that nothing else tells of, in short sentences. */
export function recentTroubles(now_ms, isNamed) {
  lately = lately.filter((each) => each.at_ms > now_ms - LATELY_MS);
  const venues = new Map();
  for (const each of lately) venues.set(each.venue, [...(venues.get(each.venue) ?? []), each]);
  return [...venues].filter(([venue]) => !isNamed(venue)).flatMap(([venue, cancels]) => {
    const said = [];
    const bad = cancels.filter((each) => BAD.has(each.outcome) || each.outcome === "over_deadline" || each.outcome === "overloaded");
    if (bad.length >= FEW && bad.length >= SHARE * cancels.length) {
      const words = [...new Set(bad.map((each) => each.outcome))].join(", ");
      said.push(`${venue}: ${bad.length} of ${cancels.length} cancels in the last minute ended ${words}`);
    }
    const waited = cancels.filter((each) => each.wait === "terminal" && (each.outcome === "accepted" || GOOD.has(each.outcome)));
    const open = waited.filter((each) => each.outcome === "accepted");
    if (open.length >= FEW && open.length > waited.length / 2) said.push(`${venue}: takes cancels, and ${open.length} of ${waited.length} orders stayed open`);
    return said;
  });
}

function missedRow(missed) {
  return el("tr", { class: "gap" }, el("td", { colspan: 9 }, `${missed} more were answered meanwhile`));
}

function cancelRow(each) {
  const isKill = each.event !== "cancel.done";
  const name = isKill ? `everything${each.symbol ? ` of ${each.symbol}` : ""}` : each.ref ?? "–";
  const canOpen = each.record && each.own;
  const order = canOpen
    ? el("button", { type: "button", class: "plain ref", title: name }, short(name))
    : el("span", { class: "ref", title: name }, short(name));
  const row = el("tr", { "data-record": canOpen ? each.record : null, class: isKill ? "is-kill" : null },
    el("td", { class: "time" }, clockTime(each.at_ms)),
    el("td", {}, each.account ? `${each.venue}:${each.account}` : each.venue ?? "–"),
    el("td", {}, order),
    el("td", {}, el("span", { class: "outcome", "data-level": level(each.outcome), title: each.detail ?? each.venue_status ?? "" }, each.outcome),
      each.replayed ? el("small", {}, " replayed") : null),
    el("td", {}, each.lane ?? "–"),
    el("td", { class: "number" }, ms(each.waited_ms)),
    el("td", { class: "number" }, ms(each.venue_ms)),
    el("td", { class: "number" }, ms(each.ms)),
    el("td", {}, each.caller ?? "–"));
  row.dataset.words = [each.venue, each.account, each.ref, each.outcome, each.caller, each.record, each.lane, each.detail].join(" ").toLowerCase();
  sift(row);
  return row;
}

function sift(row) {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  row.hidden = !words.every((word) => (row.dataset.words ?? "").includes(word));
}

/** Moves the focus among the rows that can be opened. */
export function step(by) {
  const buttons = [...body.querySelectorAll("tr:not([hidden]) button")];
  const at = buttons.indexOf(document.activeElement);
  buttons[Math.max(0, Math.min(buttons.length - 1, at < 0 ? 0 : at + by))]?.focus();
}

// -- one record ---------------------------------------------------------------------------------------------------

export async function showRecord(token, id) {
  const dialog = byId("record"), place = byId("record-body");
  place.replaceChildren(el("p", { class: "empty" }, "Reading …"));
  if (!dialog.open) dialog.showModal();
  let heard;
  try {
    heard = await call(token, "GET", `console/api/cancels/${encodeURIComponent(id)}`);
  } catch {
    heard = { status: 0, body: { detail: "the gateway does not answer" } };
  }
  if (heard.status !== 200) {
    place.replaceChildren(el("p", { class: "fault" }, heard.body.detail ?? `status ${heard.status}`), el("p", { class: "ref" }, id));
    return;
  }
  place.replaceChildren(...recordParts(heard.body));
}

function recordParts(record) {
  const line = (name, value) => (value === null || value === undefined || value === "" ? null : el("div", {}, el("dt", {}, name), el("dd", {}, String(value))));
  const answer = record.answer ?? {};
  const facts = el("dl", { class: "record" },
    line("record", record.id), line("order", `${record.ref} (${record.by})`), line("symbol", record.symbol),
    line("account", `${record.venue}:${record.account}`), line("caller", record.caller), line("state", record.state),
    line("attempts", record.attempts), line("venue said", [answer.venue_status, answer.venue_code, answer.venue_message].filter(Boolean).join(" ")),
    line("detail", answer.detail), line("filled", answer.filled), line("remaining", answer.remaining), line("request", record.request_id));
  const steps = [
    { at: record.created_at, what: "received" },
    record.sent_at && { at: record.sent_at, what: "sent" },
    ...record.steps,
    record.settled_at && { at: record.settled_at, what: "settled", result: record.outcome },
  ].filter(Boolean).sort((one, other) => Date.parse(one.at) - Date.parse(other.at));
  const first = Date.parse(record.created_at);
  return [
    el("p", {}, el("span", { class: "outcome big", "data-level": level(record.outcome) }, record.outcome ?? record.state), record.final ? " final" : " not proven final"),
    facts,
    el("h3", {}, "Steps"),
    el("ol", { class: "steps" }, ...steps.map((each) => el("li", {},
      el("time", { datetime: each.at }, clockTime(Date.parse(each.at))),
      el("span", { class: "after" }, `+${ms(Date.parse(each.at) - first)}`),
      el("b", {}, each.what), each.result ? el("span", {}, each.result) : null))),
    el("details", {}, el("summary", {}, "The whole record"), el("pre", {}, JSON.stringify(record, null, 2))),
  ];
}
