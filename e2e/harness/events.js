// What has been seen, in order, and waiting for what is to come. Runs in
// Node.js and in browsers.

export const EVENT_TIMEOUT = 20_000; // ms

export class EventLog {
  constructor(name) {
    this.name = name;
    this.seen = []; // {type, detail, taken}
    this.waiters = [];
  }

  add(type, detail) {
    const event = { type, detail, taken: false };
    this.seen.push(event);
    for (const waiter of this.waiters) {
      if (waiter.matches(event)) {
        event.taken = true;
        this.#resolve(waiter, event);
        return;
      }
    }
  }

  /** Resolves with the detail of the first such event not yet taken, past or future. */
  async next(type, predicate, timeout) {
    return (await this.first([type], predicate, timeout)).detail;
  }

  /** Resolves with the first event of these types not yet taken, past or future: {type, detail}. */
  first(types, predicate = () => true, timeout = EVENT_TIMEOUT) {
    const matches = (event) => !event.taken && types.includes(event.type) && predicate(event.detail);
    const past = this.seen.find(matches);
    if (past) {
      past.taken = true;
      return Promise.resolve(past);
    }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiters = this.waiters.filter((w) => w !== waiter);
        const seen = this.seen.map((e) => `${e.type} ${short(e.detail)}`).slice(-20).join('\n  ');
        reject(new Error(`${this.name}: no ${types.join(' or ')} within ${timeout} ms; seen:\n  ${seen}`));
      }, timeout);
      const waiter = { matches, resolve, timer };
      this.waiters.push(waiter);
    });
  }

  /** Resolves with the details of the next n such events. */
  async take(type, n) {
    const list = [];
    while (list.length < n) list.push(await this.next(type));
    return list;
  }

  /** The details of all such events so far, taken or not. */
  all(type) {
    return this.seen.filter((event) => event.type === type).map((event) => event.detail);
  }

  #resolve(waiter, event) {
    clearTimeout(waiter.timer);
    this.waiters = this.waiters.filter((w) => w !== waiter);
    waiter.resolve(event);
  }
}

function short(detail) {
  const text = JSON.stringify(detail) ?? '';
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}
