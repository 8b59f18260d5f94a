// The console: signs in, listens, and shows. The token is kept for this tab only and goes nowhere but into a header.

import { addRecent, forgetRecent, recentTroubles, showRecord, step, watchRecent } from "./cancels.js";
import { byId, clockTime, el, mark, say, serverNow, setClock, tick } from "./dom.js";
import { openKill, readyKill, showKills } from "./kill.js";
import { Stream } from "./stream.js";
import { allTroubles, forgetVenues, showUnknown, showVenues } from "./venues.js";

const KEPT = "cancel-gateway-token";
let token = null, stream = null, last_ms = null;

function handedOver() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) history.replaceState(null, "", location.pathname + location.search);
  return given;
}

function signIn(given) {
  token = given.trim();
  sessionStorage.setItem(KEPT, token);
  byId("sign-in").hidden = true;
  byId("sign-out").hidden = false;
  linked("wait", "connecting …");
  stream = new Stream(token, { event: heard, up: () => linked("up", "live"), down: lost, refused: signOut });
  stream.run();
}

function signOut(refused = null) {
  stream?.stop();
  stream = token = last_ms = null;
  sessionStorage.removeItem(KEPT);
  forgetVenues();
  forgetRecent();
  document.querySelectorAll("dialog[open]").forEach((dialog) => dialog.close());
  byId("main").hidden = true;
  byId("sign-in").hidden = false;
  byId("sign-out").hidden = true;
  say(byId("who"), "");
  say(byId("token-fault"), refused ? refused.message : "");
  linked("out", "signed out");
  strip("quiet", ["Not connected."]);
  byId("token").focus();
}

function linked(state, text) {
  mark(byId("link"), "data-state", state);
  tick(byId("link-text"), typeof text === "function" ? text : () => text);
  document.body.classList.toggle("stale", state === "down");
}

function lost(why, again_ms) {
  const again = serverNow() + again_ms;
  linked("down", (now) => (now < again ? `reconnecting in ${((again - now) / 1000).toFixed(1)} s` : "reconnecting …"));
  const since = last_ms === null ? "" : ` What you see is from ${clockTime(last_ms)}.`;
  strip("bad", [`The gateway is gone: ${why}.${since}`]);
}

// -- news -----------------------------------------------------------------------------------------------------------

function heard(name, data) {
  switch (name) {
    case "hello":
      setClock(data.now_ms);
      say(byId("version"), data.version);
      say(byId("who"), data.caller);
      mark(byId("who"), "title", data.permissions.join(", "));
      forgetRecent();
      atWork = [];
      byId("main").hidden = false;
      break;
    case "state":
      setClock(data.now_ms);
      last_ms = Date.now();
      showVenues(data.venues, data.at_ms, (state) => openKill(state, token));
      tell(data, showUnknown(data.venues, (id) => showRecord(token, id)));
      break;
    case "recent":
      addRecent(data.cancels, data.missed);
      break;
    case "kills":
      showKills(data.kills);
      atWork = data.kills;
      break;
  }
}

let atWork = [];

/** The strip: what is wrong, worst first; it has its place whether there is anything or not. */
function tell(data, unknown) {
  const waiting = data.venues.reduce((sum, state) => sum + Object.values(state.queue).reduce((one, other) => one + other, 0), 0);
  const bad = [];
  if (data.draining) bad.push("This process is shutting down.");
  if (data.venues.some((state) => state.degraded)) bad.push("Degraded: the shared store is lost, this replica works on its own share of every limit.");
  for (const each of atWork) bad.push(`Kill at work on ${each.venue}:${each.account}, ${each.requests} requests.`);
  const named = allTroubles(data.venues);
  bad.push(...named, ...recentTroubles(serverNow(), (venue) => named.some((said) => said.startsWith(venue) || said.includes(` ${venue}`))));
  for (const [venue, count] of unknown) bad.push(`${venue}: ${count} unknown ${count === 1 ? "end" : "ends"}`);
  if (bad.length) strip("bad", bad);
  else strip("good", [`All well. ${data.venues.length} accounts, ${waiting ? `${waiting} waiting` : "nothing waits"}.`]);
}

let stripSaid = "";

function strip(level, lines) {
  mark(byId("strip"), "data-level", level);
  const said = lines.join("\n");
  if (said === stripSaid) return;
  stripSaid = said;
  byId("strip").replaceChildren(...lines.map((line) => el("span", {}, line)));
}

// -- keys -----------------------------------------------------------------------------------------------------------

function pressed(key) {
  const typing = key.target.matches("input, textarea");
  if (key.key === "Escape" && typing && key.target.id === "filter") {
    key.target.value = "";
    key.target.dispatchEvent(new Event("input"));
    key.target.blur();
  }
  if (typing || key.ctrlKey || key.metaKey || key.altKey || document.querySelector("dialog[open]") || !token) return;
  const does = {
    "/": () => byId("filter").focus(),
    j: () => step(1),
    k: () => step(-1),
    v: () => byId("venues").querySelector("article")?.focus(),
    "?": () => byId("help").showModal(),
  }[key.key];
  if (does) {
    key.preventDefault();
    does();
  }
}

document.addEventListener("keydown", pressed);
document.addEventListener("click", (click) => {
  if (click.target.closest("[data-close]") || click.target.matches("dialog")) click.target.closest("dialog").close();
});
byId("help-open").addEventListener("click", () => byId("help").showModal());
byId("sign-out").addEventListener("click", () => signOut());
byId("token-form").addEventListener("submit", (submit) => {
  submit.preventDefault();
  const given = byId("token").value;
  byId("token").value = "";
  if (given.trim()) signIn(given);
});
window.addEventListener("hashchange", () => {
  const given = handedOver();
  if (given) {
    stream?.stop();
    signIn(given);
  }
});

watchRecent((id) => showRecord(token, id));
readyKill();
const given = handedOver() ?? sessionStorage.getItem(KEPT);
if (given) signIn(given);
else signOut();
