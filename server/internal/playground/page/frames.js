// The list of raw frames: newest last, bounded, filterable, follows its end
// unless the reader scrolled away.

const MAX_FRAMES = 500; // entries kept
const MAX_TEXT = 8192; // characters of one frame shown

export class FrameList {
  constructor({ list, filter, pings, counter }) {
    this.list = list;
    this.filter = filter;
    this.pings = pings;
    this.counter = counter;
    this.total = 0;
    this.follow = followEnd(list);
    filter.addEventListener('input', () => this.#applyFilter());
    pings.addEventListener('change', () => this.#applyFilter());
  }

  add(direction, text) {
    const { list } = this;
    const item = document.createElement('li');
    item.className = `frame ${direction}`;
    item.dataset.direction = direction;
    item.dataset.ping = String(text === '{}');
    item.append(
      part('time', clock(new Date())),
      part('arrow', { in: '←', out: '→', note: '·' }[direction], { in: 'received', out: 'sent', note: 'note' }[direction]),
      part('text', text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}… (${text.length} characters)` : text),
    );
    item.hidden = !this.#matches(item);
    list.append(item);
    while (list.childElementCount > MAX_FRAMES) list.firstElementChild.remove();
    this.total++;
    this.#count();
    this.follow();
  }

  clear() {
    this.list.replaceChildren();
    this.total = 0;
    this.#count();
  }

  #matches(item) {
    if (item.dataset.ping === 'true' && !this.pings.checked) return false;
    return item.textContent.toLowerCase().includes(this.filter.value.trim().toLowerCase());
  }

  #applyFilter() {
    for (const item of this.list.children) item.hidden = !this.#matches(item);
    this.#count();
    this.follow();
  }

  #count() {
    const shown = this.list.querySelectorAll('li:not([hidden])').length;
    this.counter.textContent = `${shown} shown of ${this.total}`;
  }
}

/**
 * Keeps a list at its end, unless the reader scrolled up, and when its size
 * changes. Returns what is to be called after something was added.
 */
export function followEnd(list) {
  let following = true;
  const follow = () => {
    if (following) list.scrollTop = list.scrollHeight;
  };
  list.addEventListener('scroll', () => {
    following = list.scrollHeight - list.scrollTop - list.clientHeight < 20;
  });
  new ResizeObserver(follow).observe(list);
  return follow;
}

function part(name, text, label) {
  const span = document.createElement('span');
  span.className = name;
  span.textContent = text;
  if (label) span.setAttribute('aria-label', label);
  return span;
}

/** A time of day with milliseconds, in the reader's zone. */
export function clock(date) {
  const two = (n) => String(n).padStart(2, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}
