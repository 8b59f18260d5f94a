// The cards: one for each account, made once and then only changed, so that nothing jumps.

import { age, byId, el, mark, ring, say, short, tick } from "./dom.js";

// `reconcile` reads orders back; it yields to every cancel.
const LANES = { kill: "kill", urgent: "urgent", normal: "normal", reconcile: "look" };
const cards = new Map();

/** Shows how every account stands; `now_ms` is the server's time of that. */
export function showVenues(venues, now_ms, openKill) {
  const known = new Set();
  venues.forEach((state) => {
    const key = `${state.venue}:${state.account}`;
    known.add(key);
    if (!cards.has(key)) cards.set(key, new Card(state, openKill));
    cards.get(key).show(state, now_ms);
  });
  for (const [key, card] of cards) {
    if (!known.has(key)) {
      card.root.remove();
      cards.delete(key);
    }
  }
  const wanted = venues.map((state) => cards.get(`${state.venue}:${state.account}`).root);
  const place = byId("venues");
  wanted.forEach((root, index) => { if (place.children[index] !== root) place.insertBefore(root, place.children[index] || null); });
  byId("nothing").hidden = venues.length > 0;
}

export function forgetVenues() {
  cards.clear();
  byId("venues").replaceChildren();
}

class Card {
  constructor(state, openKill) {
    this.main = ring(76);
    this.free = el("b");
    this.mainName = el("span");
    this.minis = new Map();
    this.limits = el("ul", { class: "limits" });
    this.lanes = Object.fromEntries(Object.keys(LANES).map((lane) => [lane, el("b")]));
    this.facts = Object.fromEntries(["gate", "breaker", "credential", "clock"].map((name) => [name, el("span", { class: "value" })]));
    this.killButton = el("button", { type: "button", class: "kill", "aria-label": `Kill switch of ${state.venue} ${state.account}` }, "Kill…");
    this.killButton.addEventListener("click", () => openKill(this.state));
    this.root = el("article", { class: "card", tabindex: "-1", "aria-label": `${state.venue} ${state.account}` },
      el("header", {}, el("h3", {}, state.venue), el("span", { class: "account" }, state.account), el("span", { class: "grow" }), this.killButton),
      el("div", { class: "rings" },
        el("div", { class: "main" }, this.main.svg, el("div", { class: "inside" }, this.free, this.mainName)),
        this.limits),
      el("dl", { class: "lanes" }, ...Object.entries(LANES).map(([lane, name]) =>
        el("div", { title: `waiting in the lane ${lane}` }, el("dt", {}, name), el("dd", {}, this.lanes[lane])))),
      el("dl", { class: "facts" }, ...Object.entries(this.facts).map(([name, value]) =>
        el("div", {}, el("dt", { class: "off-screen" }, name), el("dd", {}, el("i", { class: "dot" }), value)))));
  }

  show(state, now_ms) {
    this.state = state;
    this.killButton.hidden = !state.may_kill;
    this.showLimits(state.limits);
    for (const lane of Object.keys(LANES)) {
      say(this.lanes[lane], state.queue[lane] ?? 0);
      mark(this.lanes[lane].parentElement.parentElement, "data-busy", state.queue[lane] ? "yes" : "no");
    }
    this.showGate(state.gates, now_ms);
    this.showBreaker(state.breaker, now_ms);
    this.fact("credential", state.credential === "ok" ? "good" : state.credential === "unread" ? "quiet" : "bad", `key ${state.credential}`, `credential ${state.credential} ${state.credential_detail}`);
    const ahead = state.clock.venue_ahead_ms;
    this.fact("clock", { ok: "good", refused: "bad" }[state.clock.state] ?? "warn", `clock ${ahead >= 0 ? "+" : "−"}${Math.abs(ahead)} ms`, `the venue's clock: ${state.clock.state}`);
    mark(this.root, "data-level", troubles(state).length ? "bad" : "good");
  }

  showLimits(limits) {
    const [[name, limit], ...rest] = Object.entries(limits);
    this.main.fill(limit.tokens - (limit.free ?? limit.tokens), limit.tokens);
    say(this.free, limit.free === null ? "?" : `${limit.free}/${limit.tokens}`);
    say(this.mainName, name);
    mark(this.main.svg.parentElement, "title", limitWords(name, limit));
    for (const [other, each] of rest) {
      if (!this.minis.has(other)) {
        const small = ring(14), item = el("li", {}, small.svg, el("span", {}, other.replace("_client", " cid").replaceAll("_", " ")));
        this.limits.append(item);
        this.minis.set(other, { small, item });
      }
      const { small, item } = this.minis.get(other);
      small.fill(each.tokens - (each.free ?? each.tokens), each.tokens);
      mark(item, "title", limitWords(other, each));
    }
  }

  showGate(gates, now_ms) {
    if (!gates.length) {
      this.fact("gate", "good", "gate open");
      return;
    }
    const longest = gates.reduce((one, other) => (other.retry_after_ms > one.retry_after_ms ? other : one));
    this.countDown("gate", longest.banned ? "banned" : "shut", now_ms + longest.retry_after_ms, `the venue shut us out, by ${longest.scope}`);
  }

  showBreaker(breaker, now_ms) {
    const [open] = Object.entries(breaker);
    if (!open) this.fact("breaker", "good", "breaker closed");
    else this.countDown("breaker", `${open[0]} off`, now_ms + open[1].probe_in_ms, `the breaker of the ${open[0]} is open; a probe follows`);
  }

  fact(name, level, text, title = "") {
    const value = this.facts[name];
    tick(value, null);
    say(value, text);
    mark(value.parentElement, "data-level", level);
    mark(value.parentElement, "title", title);
  }

  countDown(name, text, until_ms, title) {
    mark(this.facts[name].parentElement, "title", title);
    mark(this.facts[name].parentElement, "data-level", "bad");
    tick(this.facts[name], (now) => `${text} ${(Math.max(0, until_ms - now) / 1000).toFixed(1)} s`);
  }
}

const limitWords = (name, limit) => `${name}: ${limit.free ?? "?"} of ${limit.tokens} free; ${limit.tokens} per ${limit.per_ms} ms and ${limit.scope}`;

const BREAKERS = { host: "does not answer, left alone (breaker open)", credential: "refuses the key, left alone (breaker open)" };

/** What of an account somebody on call should see first. */
function troubles(state) {
  const said = state.gates.map((gate) => (gate.banned ? "banned by the venue" : "shut out by the venue"));
  said.push(...Object.keys(state.breaker).map((scope) => BREAKERS[scope] ?? `breaker open (${scope})`));
  if (!["ok", "unread"].includes(state.credential)) said.push(`credential ${state.credential}`);
  if (state.clock.state === "refused") said.push("clock refused");
  return said;
}

/** The troubles of all accounts in short sentences; a venue whose every account has one is named alone. */
export function allTroubles(venues) {
  const had = new Map();
  for (const state of venues) {
    for (const what of new Set(troubles(state))) had.set(what, [...(had.get(what) ?? []), state]);
  }
  return [...had].map(([what, states]) => `${[...new Set(states.map((state) => nameIn(state, states, venues)))].join(", ")}: ${what}`);
}

function nameIn(state, states, venues) {
  const count = (list) => list.filter((each) => each.venue === state.venue).length;
  return count(states) === count(venues) ? state.venue : `${state.venue}:${state.account}`;
}

/** The unknown ends of all accounts, the oldest first; how many there are at each venue. */
export function showUnknown(venues, openRecord) {
  const all = venues.flatMap((state) => state.unknown?.oldest.map((each) => ({ ...each, where: `${state.venue}:${state.account}` })) ?? []);
  const count = venues.reduce((sum, state) => sum + (state.unknown?.count ?? 0), 0);
  all.sort((one, other) => one.since_ms - other.since_ms);
  const list = byId("unknown"), blind = venues.some((state) => state.unknown === null);
  const shown = all.slice(0, 50), there = new Map([...list.children].map((item) => [item.dataset.record, item]));
  shown.forEach((each, index) => {
    const item = there.get(each.record) ?? unknownItem(each, openRecord);
    there.delete(each.record);
    if (list.children[index] !== item) list.insertBefore(item, list.children[index] || null);
  });
  for (const item of there.values()) item.remove();
  say(byId("unknown-count"), blind && !count ? "?" : count);
  mark(byId("unknown-count"), "data-level", count ? "bad" : "good");
  const none = byId("no-unknown");
  none.hidden = shown.length > 0;
  say(none, blind ? "The shared store cannot be asked." : "The end of every cancel is known.");
  return countsByVenue(venues);
}

function countsByVenue(venues) {
  const counts = new Map();
  for (const state of venues) if (state.unknown?.count) counts.set(state.venue, (counts.get(state.venue) ?? 0) + state.unknown.count);
  return counts;
}

function unknownItem(each, openRecord) {
  const old = el("span", { class: "age" });
  const button = el("button", { type: "button", class: "plain" }, el("span", { class: "ref" }, short(each.ref || each.record)), el("small", {}, each.where));
  button.addEventListener("click", () => openRecord(each.record));
  const item = el("li", { "data-record": each.record }, button, old);
  setTimeout(() => tick(old, (now) => age(now - each.since_ms)));
  return item;
}
