// Server-sent events over fetch: an EventSource can't carry the Authorization header, and a token has no place in a URL.

const FIRST_PAUSE_MS = 500, PAUSE_MOST_MS = 8000;
const SILENCE_MS = 6000; // news come every second

export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `status ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

export async function call(token, method, path, headers = {}) {
  const reply = await fetch(path, { method, headers: { Authorization: `Bearer ${token}`, ...headers }, cache: "no-store" });
  const body = await reply.json().catch(() => ({}));
  return { status: reply.status, body };
}

/** Listens until `stop()`; tells `on.event(name, data)`, `on.up()`, `on.down(why, again_ms)` and `on.refused(error)`. */
export class Stream {
  constructor(token, on) {
    this.token = token;
    this.on = on;
    this.stopped = false;
    this.pause_ms = FIRST_PAUSE_MS;
  }

  stop() {
    this.stopped = true;
    this.abort?.abort();
    clearTimeout(this.timer);
    this.wake?.();
  }

  async run() {
    while (!this.stopped) {
      const why = await this.listen();
      if (this.stopped) return;
      if (why instanceof Refused && why.status < 500 && why.status !== 429) {
        this.on.refused(why);
        return;
      }
      this.on.down(why.message, this.pause_ms);
      await new Promise((resolve) => {
        this.wake = resolve;
        this.timer = setTimeout(resolve, this.pause_ms);
      });
      this.pause_ms = Math.min(PAUSE_MOST_MS, this.pause_ms * 2);
    }
  }

  async listen() {
    this.abort = new AbortController();
    let watchdog = setTimeout(() => this.abort.abort(), SILENCE_MS);
    try {
      const reply = await fetch("console/events", {
        headers: { Authorization: `Bearer ${this.token}`, Accept: "text/event-stream" },
        cache: "no-store",
        signal: this.abort.signal,
      });
      if (!reply.ok) return new Refused(reply.status, await reply.json().catch(() => ({})));
      const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return new Error("the gateway ended the connection");
        clearTimeout(watchdog);
        watchdog = setTimeout(() => this.abort.abort(), SILENCE_MS);
        text = this.take(text + value);
      }
    } catch (error) {
      return new Error(error.name === "AbortError" ? "no news" : "no answer");
    } finally {
      clearTimeout(watchdog);
    }
  }

  /** Tells every whole event; what is left is the beginning of the next one. */
  take(text) {
    const parts = text.split("\n\n");
    const rest = parts.pop();
    for (const part of parts) {
      if (part.startsWith(":")) continue; // a sign of life
      const said = Object.fromEntries(part.split("\n").map((line) => {
        const colon = line.indexOf(": ");
        return [line.slice(0, colon), line.slice(colon + 2)];
      }));
      if (said.event === "hello") {
        this.pause_ms = FIRST_PAUSE_MS;
        this.on.up();
      }
      this.on.event(said.event, JSON.parse(said.data));
    }
    return rest;
  }
}
