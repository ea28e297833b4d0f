// A text editor: a textarea with transparent letters over a layer that has the same text in colours.
//
// Both lie in one cell of a grid inside of one box that scrolls, so they cannot part. Only lines that changed are drawn
// again: those between the beginning and the end that the old and the new text share.

import { make } from "./common.js";

const SECTIONS = /^(global|defaults|frontend|backend|listen|resolvers)$/;
const TRANSPARENT = /^(transparent|usesrc|clientip|check-usesrc)$/;
const TOKENS = /(\s+)|("(?:\\.|[^"\\])*"?|'[^']*'?)|(#.*)|((?:\\.|[^\s"'#\\])+|\\)/g;

/** The parts of a line: [class, text]. */
function colour(line) {
  const parts = [];
  let words = 0;
  let before = "";
  let section = false;
  for (const [all, space, quoted, comment] of line.matchAll(TOKENS)) {
    if (space) parts.push(["", all]);
    else if (comment) parts.push(["note", all]);
    else if (quoted) parts.push(["value", all]);
    else if (words++ === 0) {
      section = SECTIONS.test(all);
      parts.push([section ? "section" : all === "source" ? "transparent" : "word", all]);
    } else if (TRANSPARENT.test(all) || (all === "client" && before === "usesrc")) parts.push(["transparent", all]);
    else parts.push([/^[\d[*:]/.test(all) ? "value" : section ? "name" : "", all]);
    if (!space) before = all;
  }
  return parts;
}

export class Editor {
  constructor(label, oninput) {
    this.lines = [];
    this.ends = []; // what ends each line: a textarea knows "\n" alone, and the file's own ends have to stay
    this.layer = make("div", { className: "layer", "aria-hidden": "true" });
    this.area = make("textarea", {
      spellcheck: false,
      autocapitalize: "off",
      autocomplete: "off",
      wrap: "off",
      id: "editor-text",
      "aria-label": label,
      "aria-describedby": "editor-state",
    });
    this.area.setAttribute("autocorrect", "off");
    this.area.addEventListener("input", () => {
      this.draw(this.area.value.split("\n"));
      oninput(this.text);
    });
    this.element = make("div", { className: "editor" }, this.layer, this.area);
  }

  get text() {
    return this.lines.map((line, index) => line + this.ends[index]).join("");
  }

  /** Puts a text in; the place of the caret stays where it can. */
  set(text) {
    if (text === this.text) return;
    const lines = text.split(/\r?\n/);
    const ends = [...(text.match(/\r?\n/g) ?? []), ""];
    const at = Math.min(this.area.selectionStart, text.length);
    this.area.value = text;
    this.area.setSelectionRange(at, at);
    this.draw(lines);
    this.ends = ends;
  }

  draw(lines) {
    const old = this.lines;
    let same = 0;
    while (same < lines.length && same < old.length && lines[same] === old[same]) same++;
    let end = 0;
    while (
      end < lines.length - same &&
      end < old.length - same &&
      lines[lines.length - 1 - end] === old[old.length - 1 - end]
    )
      end++;
    const after = this.layer.children[old.length - end] ?? null;
    for (let gone = old.length - same - end; gone > 0; gone--) this.layer.children[same].remove();
    const made = document.createDocumentFragment();
    for (const line of lines.slice(same, lines.length - end)) {
      const parts = colour(line).map(([kind, part]) => (kind ? make("span", { className: kind }, part) : part));
      made.append(make("div", { className: "line" }, parts));
    }
    this.layer.insertBefore(made, after);
    this.lines = lines;
    this.keepEnds(same, end);
    this.layer.dataset.digits = Math.max(3, String(lines.length).length);
  }

  /** New lines, which are between SAME at the beginning and END at the end, end as most do. */
  keepEnds(same, end) {
    const most = this.ends.filter((each) => each === "\r\n").length * 2 > this.ends.length ? "\r\n" : "\n";
    const made = Array(this.lines.length - same - end).fill(most);
    const last = this.lines.length - 1;
    this.ends = [...this.ends.slice(0, same), ...made, ...(end ? this.ends.slice(-end) : [])].map((each, index) =>
      index === last ? "" : each || most,
    );
  }

  /** Shows messages behind their lines: [{line, column, message, kind}]. */
  mark(messages) {
    for (const each of this.layer.querySelectorAll(".message")) each.remove();
    for (const each of this.layer.querySelectorAll(".error, .warning")) each.classList.remove("error", "warning");
    for (const each of messages) {
      const line = this.layer.children[each.line - 1];
      if (!line) continue;
      line.classList.add(each.kind);
      line.append(make("span", { className: "message" }, each.message));
    }
  }

  /** Shows a place, from `begin` to `end` in the text, and selects it. */
  reveal(begin, end, focus = true) {
    const line = this.area.value.slice(0, begin).split("\n").length;
    const height = this.layer.firstElementChild?.offsetHeight || 20;
    const top = (line - 1) * height;
    if (top < this.element.scrollTop + height || top > this.element.scrollTop + this.element.clientHeight - 2 * height)
      this.element.scrollTop = Math.max(0, top - this.element.clientHeight / 3);
    this.area.setSelectionRange(begin, end);
    if (focus) this.area.focus({ preventScroll: true });
  }

  goTo(line, column = 0) {
    const begin = this.lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
    const at = begin + Math.max(0, column - 1);
    this.reveal(at, column ? at + (this.lines[line - 1]?.slice(column - 1).match(/^\S*/)[0].length ?? 0) : at);
  }

  /** Colours the places [begin, end] of the text; `chosen` is the number of the one that stands out. */
  highlight(places, chosen) {
    if (!window.CSS?.highlights) return;
    const ranges = places.map(([begin, end]) => this.range(begin, end)).filter(Boolean);
    CSS.highlights.set("found", new Highlight(...ranges.filter((_, index) => index !== chosen)));
    CSS.highlights.set("chosen", new Highlight(...ranges.filter((_, index) => index === chosen)));
  }

  range(begin, end) {
    let number = 0;
    let from = begin;
    while (number < this.lines.length && from > this.lines[number].length) from -= this.lines[number++].length + 1;
    const made = document.createRange();
    const place = (offset, put) => {
      const texts = document.createTreeWalker(this.layer.children[number], NodeFilter.SHOW_TEXT);
      while (texts.nextNode()) {
        if (texts.currentNode.parentElement.className === "message") return false;
        if (offset <= texts.currentNode.length) {
          put(texts.currentNode, offset);
          return true;
        }
        offset -= texts.currentNode.length;
      }
      return false;
    };
    const well =
      place(from, (node, offset) => made.setStart(node, offset)) &&
      place(from + end - begin, (node, offset) => made.setEnd(node, offset));
    return well ? made : null;
  }
}
