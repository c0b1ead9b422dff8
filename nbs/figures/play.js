// Three figures to play with. The functions that compute are pure, and a test holds them to the package's own.
(function () {
"use strict";

const sigmoid = x => x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
const logsigmoid = x => x >= 0 ? -Math.log1p(Math.exp(-x)) : x - Math.log1p(Math.exp(x));
const sum = xs => xs.reduce((a, b) => a + b, 0);

// ---- losses: rewards of one prompt's completions, best first; value and gradient

function kwise(r) {
  const K = r.length, n = K * (K - 1) / 2, grad = Array(K).fill(0);
  let loss = 0;
  for (let i = 0; i < K; i++) for (let j = i + 1; j < K; j++) {
    loss -= logsigmoid(r[i] - r[j]) / n;
    const g = -sigmoid(r[j] - r[i]) / n;
    grad[i] += g;
    grad[j] -= g;
  }
  return { loss, grad };
}

function plackettLuce(r) {
  const K = r.length, grad = Array(K).fill(0);
  let loss = 0;
  for (let i = 0; i < K - 1; i++) {  // the best of those that are left
    const top = Math.max(...r.slice(i)), e = r.slice(i).map(x => Math.exp(x - top)), z = sum(e);
    loss += (Math.log(z) + top - r[i]) / (K - 1);
    e.forEach((x, k) => { grad[i + k] += (x / z - (k === 0)) / (K - 1); });
  }
  return { loss, grad };
}

// A batch of this prompt and of others: each prompt weighs the same, or each pair
function batchOf(prompts, weigh) {
  const parts = prompts.map(kwise), w = prompts.map(weigh), total = sum(w);
  return { loss: sum(parts.map((p, b) => w[b] * p.loss)) / total,
           grad: parts[0].grad.map(g => w[0] * g / total) };
}
const perPrompt = prompts => batchOf(prompts, () => 1);
const perPair = prompts => batchOf(prompts, r => r.length * (r.length - 1) / 2);

// ---- sharing: tokens of a prompt with K completions, in one row or in many

function tokenCounts(prompt, lengths) {
  const K = lengths.length, all = sum(lengths);
  return { shared: prompt + all, rows: K * prompt + all, pairs: (K - 1) * (K * prompt + all) };
}

// Does the token at i see the one at j, in the row [prompt | y_1 | ... | y_K] of a decoder?
function sees(i, j, prompt, lengths) {
  const part = t => { let k = 0, end = prompt; while (t >= end) end += lengths[k++]; return k; };
  return j <= i && (part(j) === 0 || part(j) === part(i));
}

// ---- evaluation: rewards of rankings, best first; accuracy, interval, calibration

function random(seed) {  // mulberry32
  return () => {
    seed = (seed + 0x6D2B79F5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function simulate(K, prompts, noise, seed) {
  const next = random(seed), normal = () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  return Array.from({ length: prompts }, () => {
    const drawn = Array.from({ length: K }, () => {
      const truth = 1.5 * normal();
      return { liked: truth - Math.log(-Math.log(1 - next())), reward: truth + noise * normal() };
    });
    return drawn.sort((a, b) => b.liked - a.liked).map(y => y.reward);
  });
}

function massBins(p, bins) {
  const order = [...p.keys()].sort((a, b) => p[a] - p[b]), bin = Array(p.length);
  for (let a = 0, b; a < order.length; a = b) {
    for (b = a; b < order.length && p[order[b]] === p[order[a]];) b++;
    const middle = (a + b) / 2;  // equal values share a bin
    for (let k = a; k < b; k++) bin[order[k]] = Math.min(bins - 1, Math.floor(bins * middle / p.length));
  }
  return bin;
}

function measure(rankings, bins = 10) {
  const p = [], right = [], perPrompt = [];
  for (const r of rankings) {
    let s = 0, n = 0;
    for (let i = 0; i < r.length; i++) for (let j = i + 1; j < r.length; j++, n++) {
      const d = r[i] - r[j], hit = d > 0 ? 1 : d < 0 ? 0 : .5;
      p.push(sigmoid(Math.abs(d)));
      right.push(hit);
      s += hit;
    }
    perPrompt.push([s, n]);
  }
  const P = p.length, N = rankings.length, accuracy = sum(right) / P;
  const clustered = Math.sqrt(sum(perPrompt.map(([s, n]) => (s - accuracy * n) ** 2)) * N / (N - 1)) / P;
  const bin = massBins(p, bins), curve = Array.from({ length: bins }, () => ({ n: 0, p: 0, right: 0 }));
  bin.forEach((b, k) => { curve[b].n++; curve[b].p += p[k]; curve[b].right += right[k]; });
  return { accuracy, pairs: P, error: clustered, naive: Math.sqrt(accuracy * (1 - accuracy) / P),
           ece: sum(curve.map(c => Math.abs(c.right - c.p))) / P,
           curve: curve.filter(c => c.n).map(c => ({ n: c.n, p: c.p / c.n, right: c.right / c.n })) };
}

const computed = { sigmoid, kwise, plackettLuce, perPrompt, perPair, tokenCounts, sees, simulate, massBins, measure };
if (typeof module !== "undefined") { module.exports = computed; return; }

// ---- on the page

const SVG = "http://www.w3.org/2000/svg";
function el(name, attrs = {}, ...inside) {
  const node = /^(svg|g|line|circle|rect|path|text|polygon)$/.test(name) ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [k, v] of Object.entries(attrs)) node.setAttribute(k, v);
  node.append(...inside);
  return node;
}
const fixed = (x, n = 3) => (Math.abs(x) < .5 * 10 ** -n ? 0 : x).toFixed(n).replace("-", "−");

function slider(label, min, max, value, step, change) {
  const shown = el("output", {}, String(value)), input = el("input", { type: "range", min, max, value, step });
  input.addEventListener("input", () => { shown.textContent = input.value; change(); });
  return { node: el("label", {}, el("span", {}, label + " "), input, shown), get value() { return +input.value; } };
}
function table(head, rows, label) {
  const cell = (tag, x, scope) => { const c = el(tag, scope ? { scope } : {}); c.textContent = x; return c; };
  return el("table", { class: "table table-sm", "aria-label": label },
    el("thead", {}, el("tr", {}, ...head.map(h => cell("th", h, "col")))),
    el("tbody", {}, ...rows.map(r => el("tr", {}, cell("th", r[0], "row"), ...r.slice(1).map(x => cell("td", x))))));
}

function playLosses(box) {
  const START = [1.5, .2, .8, -1, -.4], W = box.clientWidth < 560 ? 340 : 640, LOW = -4, HIGH = 4, ROW = 44;
  const LOSSES = [["K-wise, a prompt weighs 1", "kwise"], ["Plackett-Luce", "pl"], ["a pair weighs 1", "pair"]];
  let r = START.slice(0, 4);
  const x = v => 30 + (v - LOW) / (HIGH - LOW) * (W - 60);
  const picture = el("div", { class: "play-picture" }), losses = el("div"), pairs = el("div");
  const count = slider("completions", 2, 5, 4, 1, () => { r = START.slice(0, count.value).map((v, k) => r[k] ?? v); draw(); });
  const size = slider("arrows, times", 1, 8, 4, 1, () => draw());
  box.replaceChildren(el("div", { class: "play-controls" }, count.node, size.node), picture, losses, pairs);

  function set(k, v, focus) {
    r[k] = Math.round(10 * Math.min(HIGH, Math.max(LOW, v))) / 10;
    draw();
    if (focus) picture.querySelectorAll("[role=slider]")[k].focus();
  }
  function handle(k, y) {
    const g = el("g", { role: "slider", tabindex: 0, "aria-label": `reward of completion ${k + 1}, ${k ? "" : "the best, "}place ${k + 1}`,
      "aria-valuemin": LOW, "aria-valuemax": HIGH, "aria-valuenow": r[k], "aria-orientation": "horizontal", class: "play-handle" },
      el("circle", { cx: x(r[k]), cy: y, r: 13 }), el("text", { x: x(r[k]), y: y + 5, "text-anchor": "middle" }, String(k + 1)));
    g.addEventListener("keydown", e => {
      const step = { ArrowRight: .1, ArrowUp: .1, ArrowLeft: -.1, ArrowDown: -.1, PageUp: 1, PageDown: -1 }[e.key];
      const v = step ? r[k] + step : e.key === "Home" ? LOW : e.key === "End" ? HIGH : null;
      if (v !== null) { e.preventDefault(); set(k, v, true); }
    });
    g.addEventListener("pointerdown", e => {
      e.preventDefault();
      const svg = picture.firstChild, box = svg.getBoundingClientRect();
      const move = e => set(k, LOW + ((e.clientX - box.left) / box.width * W - 30) / (W - 60) * (HIGH - LOW));
      const up = () => { removeEventListener("pointermove", move); removeEventListener("pointerup", up); picture.querySelectorAll("[role=slider]")[k].focus(); };
      addEventListener("pointermove", move);
      addEventListener("pointerup", up);
    });
    return g;
  }
  function draw() {
    const K = r.length, H = ROW * K + 40, other = [0, 0];
    const found = { kwise: perPrompt([r, other]), pl: plackettLuce(r), pair: perPair([r, other]) };
    found.pl.grad = found.pl.grad.map(g => g / 2);  // its prompt is one of the two as well
    const svg = el("svg", { viewBox: `0 0 ${W} ${H}`, role: "group", "aria-label": "Rewards of the completions; the arrows show which way a step of training moves them" });
    for (let v = LOW; v <= HIGH; v++) svg.append(el("line", { class: "play-grid", x1: x(v), x2: x(v), y1: 8, y2: H - 28 }),
      el("text", { x: x(v), y: H - 8, "text-anchor": "middle" }, fixed(v, 0)));
    r.forEach((v, k) => {
      const y = 28 + ROW * k;
      LOSSES.forEach(([, name], n) => {
        const d = -found[name].grad[k] * size.value * 80, at = y + 7 * (n - 1), end = x(v) + d;
        if (Math.abs(d) > 1) svg.append(el("line", { class: `play-${name}`, x1: x(v), x2: end, y1: at, y2: at }),
          el("polygon", { class: `play-${name}`, points: `${end + 6 * Math.sign(d)},${at} ${end},${at - 4} ${end},${at + 4}` }));
      });
      svg.append(handle(k, y));
    });
    picture.replaceChildren(svg);
    losses.replaceChildren(table(["loss", "of this prompt", "pull on the best"], [
      ["K-wise, a prompt weighs 1", fixed(kwise(r).loss), fixed(-found.kwise.grad[0])],
      ["Plackett-Luce", fixed(plackettLuce(r).loss), fixed(-found.pl.grad[0])],
      ["a pair weighs 1", fixed(kwise(r).loss), fixed(-found.pair.grad[0])]], "Losses"));
    losses.querySelectorAll("tbody tr").forEach((tr, n) => tr.firstChild.prepend(el("span", { class: `play-key play-${LOSSES[n][1]}`, "aria-hidden": "true" })));
    pairs.replaceChildren(table(["P(row beats column)", ...r.map((_, k) => `y${k + 1}`)],
      r.map((a, i) => [`y${i + 1}`, ...r.map((b, j) => i === j ? "" : fixed(sigmoid(a - b), 2))]), "Probabilities of the pairs"));
  }
  draw();
}

function playMask(box) {
  const picture = el("div", { class: "play-picture play-square" }), said = el("div", { "aria-live": "polite" });
  const prompt = slider("prompt, tokens", 10, 800, 350, 10, () => draw()), K = slider("completions", 1, 9, 4, 1, () => draw());
  const length = slider("a completion, tokens", 5, 300, 40, 5, () => draw()), spread = slider("lengths differ by, %", 0, 90, 0, 10, () => draw());
  box.replaceChildren(el("div", { class: "play-controls" }, prompt.node, K.node, length.node, spread.node), picture, said);
  function draw() {
    const P = prompt.value, n = K.value;
    const lengths = Array.from({ length: n }, (_, k) => Math.max(1, Math.round(length.value * (1 + spread.value / 100 * (n > 1 ? 2 * k / (n - 1) - 1 : 0)))));
    const t = tokenCounts(P, lengths), T = t.shared;
    const svg = el("svg", { viewBox: `0 0 ${T} ${T}`, role: "img", "aria-label": `Attention of one shared row of ${T} tokens: each completion sees the prompt and itself` });
    svg.append(el("rect", { class: "play-hidden", width: T, height: T }), el("polygon", { class: "play-seen", points: `0,0 0,${P} ${P},${P}` }));
    let at = P;
    lengths.forEach((c, k) => {
      svg.append(el("rect", { class: "play-seen", x: 0, y: at, width: P, height: c }), el("polygon", { class: "play-own", points: `${at},${at} ${at},${at + c} ${at + c},${at + c}` }));
      if (c > T / 30) svg.append(el("text", { x: at + c + T / 100, y: at + c / 2 + T / 70, "font-size": T / 26 }, `y${k + 1}`));
      at += c;
    });
    picture.replaceChildren(svg);
    const against = (a, b) => `${(a / b).toFixed(2)} times`;
    said.replaceChildren(table(["layout", "rows", "tokens", "beside shared"], [
      ["prompt shared", "1", t.shared.toLocaleString("en"), ""],
      ["a row for each completion", n, t.rows.toLocaleString("en"), against(t.rows, t.shared)],
      ["a row for each side of a pair", n * (n - 1), t.pairs.toLocaleString("en"), n > 1 ? against(t.pairs, t.shared) : ""]], "Rows and tokens of one ranking"));
  }
  draw();
}

function playEvaluation(box) {
  let seed = 1;
  const W = 420, picture = el("div", { class: "play-picture play-square" }), said = el("div", { "aria-live": "polite" });
  const K = slider("completions", 2, 9, 4, 1, () => draw()), N = slider("prompts", 20, 1000, 200, 20, () => draw()), noise = slider("error of the model", 0, 4, 1, .1, () => draw());
  const again = el("button", { type: "button", class: "play-button" }, "Draw other prompts");
  again.addEventListener("click", () => { seed++; draw(); });
  box.replaceChildren(el("div", { class: "play-controls" }, K.node, N.node, noise.node, again), picture, said);
  const x = v => 40 + (v - .5) * 2 * (W - 60), y = v => W - 40 - Math.max(0, v - .2) / .8 * (W - 60);
  function draw() {
    const m = measure(simulate(K.value, N.value, noise.value, seed));
    const svg = el("svg", { viewBox: `0 0 ${W} ${W}`, role: "img", "aria-label": `Calibration: accuracy ${fixed(m.accuracy)}, calibration error ${fixed(m.ece)}` });
    for (const v of [.5, .6, .7, .8, .9, 1]) svg.append(el("text", { x: x(v), y: W - 20, "text-anchor": "middle" }, v.toFixed(1)), el("text", { x: 34, y: y(v) + 4, "text-anchor": "end" }, v.toFixed(1)));
    svg.append(el("text", { x: W / 2, y: W - 4, "text-anchor": "middle" }, "probability that the model gives"),
      el("text", { x: 12, y: W / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${W / 2})` }, "share that came out so"),
      el("line", { class: "play-grid", x1: x(.5), y1: y(.5), x2: x(1), y2: y(1) }));
    for (const c of m.curve) {
      const e = 1.96 * Math.sqrt(c.right * (1 - c.right) / c.n);
      svg.append(el("line", { class: "play-kwise", x1: x(c.p), x2: x(c.p), y1: y(c.right - e), y2: y(Math.min(1, c.right + e)) }), el("circle", { class: "play-dot", cx: x(c.p), cy: y(c.right), r: 4 }));
    }
    picture.replaceChildren(svg);
    const range = e => `${fixed(m.accuracy - 1.96 * e)} to ${fixed(m.accuracy + 1.96 * e)}`;
    said.replaceChildren(table(["", "value"], [["accuracy", fixed(m.accuracy)], ["95 %, pairs of a prompt belong together", range(m.error)],
      [`95 %, as if ${m.pairs.toLocaleString("en")} pairs were independent`, range(m.naive)], ["calibration error, ten bins", fixed(m.ece)]], "What such a test set says"));
  }
  draw();
}

function start() {
  const figures = { losses: playLosses, mask: playMask, evaluation: playEvaluation };
  for (const box of document.querySelectorAll(".play[data-play]")) figures[box.dataset.play](box);
}
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start); else start();
})();
