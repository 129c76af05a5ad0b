"use strict";
// The table of samples: what matches the search and the filter, PAGE_SIZE rows at a time.
(() => {
  const PAGE_SIZE = 50;
  const get = (id) => document.getElementById(id);
  const [search, filter, body] = ["sample-search", "sample-filter", "sample-rows"].map(get);
  const [count, more, template] = ["sample-count", "sample-more", "sample-row"].map(get);
  const { runs, rows, pairs } = JSON.parse(get("sample-data").textContent);
  const names = runs.map((run, number) =>
    filter.querySelector(`[value="wrong:${number}"]`).textContent.replace(/^wrong by /, ""));
  const pairSets = pairs.map((numbers) => new Set(numbers));
  const haystacks = rows.map((row) =>
    [row.uuid, row.paraphrases, row.answers, row.predictions, row.singles ?? [], row.errors]
      .flat().join("\n").toLowerCase());

  const FILTERS = {
    all: () => true,
    flips: (row) => row.flips,
    failed: (row) => row.errors.some((error) => error !== null),
    wrong: (row, _, run) => row.correct[run] === false,
    pair: (_, number, pair) => pairSets[pair].has(number),
  };
  let matching = [];
  let shown = 0;

  function element(tag, className, text) {
    const made = document.createElement(tag);
    made.className = className;
    made.textContent = text;
    made.dir = "auto";
    return made;
  }

  function addMark(parent, right) {
    if (right === null || right === undefined) return;
    const mark = element("span", `mark ${right ? "right" : "wrong"}`, right ? "✓" : "✗");
    mark.setAttribute("role", "img");
    mark.setAttribute("aria-label", right ? "right" : "wrong");
    parent.append(" ", mark);
  }

  function addAnswer(parent, said, error) {
    if (error) parent.append(element("span", "error", `failed: ${error}`));
    else parent.append(element("span", said ? "said" : "none", said || "(no answer)"));
  }

  function paraphraseItem(row, number) {
    const item = element("li", "", "");
    item.append(element("span", "paraphrase", row.paraphrases[number]));
    if (row.singles !== null && number < row.singles.length) {
      const answer = element("span", "single", "");
      addAnswer(answer, row.singles[number], null);
      addMark(answer, row.singles_correct?.[number]);
      item.append(" ", answer);
    }
    return item;
  }

  function runLabel(run) {
    const label = element("span", "run", "");
    // Long names may break after a separator, not inside a word.
    for (const part of names[run].split(/(?<=[-_/])/)) label.append(part, document.createElement("wbr"));
    return label;
  }

  function runItem(row, run) {
    const item = element("li", "", "");
    const answer = element("span", "answer", "");
    addAnswer(answer, row.predictions[run], row.errors[run]);
    addMark(answer, row.correct[run]);
    item.append(runLabel(run), " ", answer);
    return item;
  }

  function makeRow(row) {
    const made = template.content.cloneNode(true);
    const list = (name, items) => made.querySelector(name).append(...items);
    list(".paraphrases", row.paraphrases.map((_, number) => paraphraseItem(row, number)));
    list(".gold", row.answers.map((answer) => element("li", "", answer)));
    const known = (run) =>
      [row.predictions[run], row.errors[run], row.correct[run]].some((value) => value !== null);
    list(".runs", [...runs.keys()].filter(known).map((run) => runItem(row, run)));
    made.querySelector(".uuid").textContent = row.uuid;
    made.querySelector(".flip").hidden = !row.flips;
    return made;
  }

  function showMore() {
    const next = matching.slice(shown, shown + PAGE_SIZE);
    body.append(...next.map((number) => makeRow(rows[number])));
    shown += next.length;
    const left = matching.length - shown;
    more.hidden = left === 0;
    more.textContent = `Show ${Math.min(left, PAGE_SIZE)} more`;
    const first = left ? `; the first ${shown} are shown` : "";
    count.textContent = `${matching.length} of ${rows.length} questions${first}`;
  }

  function show() {
    const terms = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const [kind, argument] = filter.value.split(":");
    const fits = (row, number) => FILTERS[kind](row, number, Number(argument))
      && terms.every((term) => haystacks[number].includes(term));
    matching = [...rows.keys()].filter((number) => fits(rows[number], number));
    shown = 0;
    body.replaceChildren();
    showMore();
  }

  search.addEventListener("input", show);
  filter.addEventListener("change", show);
  more.addEventListener("click", showMore);
  search.form.addEventListener("submit", (event) => event.preventDefault());
  for (const link of document.querySelectorAll("a[data-filter]")) {
    link.addEventListener("click", () => {
      filter.value = link.dataset.filter;
      search.value = "";
      show();
    });
  }
  show();
})();
