// Measurements of a page, for page_checks.py, which puts this file into a function body.
const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const rgba = (colour) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = "#000";
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = (top, below) => {
  const a = top[3];
  return [0, 1, 2].map((i) => top[i] * a + below[i] * (1 - a)).concat(1);
};
const luminance = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map((v) => {
    v /= 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const ratio = (a, b) => {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
};
const behind = (element) => {
  const layers = [];
  for (let one = element; one; one = one.parentElement) {
    layers.push(rgba(getComputedStyle(one).backgroundColor));
    if (layers.at(-1)[3] === 1) break;
  }
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark" ||
    matchMedia("(prefers-color-scheme: dark)").matches;
  const canvasColour = layers.at(-1)[3] === 1 ? layers.pop() : dark ? [18, 18, 18, 1] : [255, 255, 255, 1];
  return layers.reverse().reduce((below, top) => over(top, below), canvasColour);
};
const opacity = (element) => {
  let value = 1;
  for (let one = element; one; one = one.parentElement) value *= Number(getComputedStyle(one).opacity);
  return value;
};
const visible = (element) => element.checkVisibility({visibilityProperty: true, opacityProperty: true}) &&
  element.getClientRects().length > 0;
const clipped = (element) => {
  // Text for screen readers only, 1 px small.
  const box = element.getBoundingClientRect();
  return box.width <= 1 || box.height <= 1;
};
const name = (element) => {
  const text = (element.getAttribute("aria-label") || element.innerText || element.value ||
    element.getAttribute("name") || "").trim().replace(/\s+/g, " ");
  return `<${element.localName}${element.id ? "#" + element.id : ""}> ${text.slice(0, 60)}`;
};
const INTERACTIVE = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']";
const interactive = () => [...document.querySelectorAll(INTERACTIVE)].filter(
  (one) => visible(one) && !one.disabled && one.tabIndex >= 0);

const checks = {
  contrast(minimum) {
    const bad = [];
    const check = (element, colour, text) => {
      const background = behind(element);
      const ink = rgba(colour);
      ink[3] *= opacity(element);
      const found = ratio(over(ink, background), background);
      if (found < minimum) bad.push(`${found.toFixed(2)} of "${text.trim().slice(0, 60)}" in ${name(element)}`);
    };
    for (const element of document.body.querySelectorAll("*")) {
      if (!visible(element) || clipped(element) || element.disabled) continue;
      const text = [...element.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data).join(" ");
      const style = getComputedStyle(element);
      if (text.trim()) check(element, style.color, text);
      if (element.matches("input, textarea, select")) {
        if (element.value) check(element, style.color, element.value);
        else if (element.placeholder)
          check(element, getComputedStyle(element, "::placeholder").color, element.placeholder);
      }
    }
    return bad;
  },

  accessibility() {
    const bad = [];
    if (!document.documentElement.lang) bad.push("no lang");
    if (!document.title.trim()) bad.push("no title");
    const h1 = [...document.querySelectorAll("h1")].filter(visible).length;
    if (h1 !== 1) bad.push(`${h1} h1`);
    if (document.querySelectorAll("main").length !== 1) bad.push("not one main");
    let level = 0;
    for (const heading of [...document.querySelectorAll("h1,h2,h3,h4,h5,h6")].filter(visible)) {
      const own = Number(heading.localName[1]);
      if (own > level + 1) bad.push(`h${own} after h${level}: ${name(heading)}`);
      level = own;
    }
    for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
      const ids = (field.getAttribute("aria-labelledby") || "").split(/\s+/).filter(Boolean);
      const labelled = field.labels.length || field.getAttribute("aria-label") ||
        (ids.length && ids.every((id) => document.getElementById(id)));
      if (!labelled) bad.push(`no label: ${name(field)}`);
    }
    for (const one of document.querySelectorAll("button, a[href], summary")) {
      if (!visible(one)) continue;
      const said = (one.getAttribute("aria-label") || one.textContent).trim() ||
        one.querySelector("img[alt]:not([alt=''])");
      if (!said) bad.push(`no name: ${one.outerHTML.slice(0, 120)}`);
    }
    for (const image of document.querySelectorAll("img")) {
      if (!image.hasAttribute("alt")) bad.push(`no alt: ${image.src}`);
    }
    for (const svg of document.querySelectorAll("svg")) {
      if (!svg.closest("[aria-hidden=true]") && !svg.getAttribute("aria-label") && !svg.querySelector("title"))
        bad.push("svg neither hidden nor named");
    }
    for (const list of document.querySelectorAll("ul, ol")) {
      for (const child of list.children) if (child.localName !== "li") bad.push(`${child.localName} in a list`);
    }
    for (const table of document.querySelectorAll("table")) {
      if (!table.querySelector("th")) bad.push("a table without th");
    }
    const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
    for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) bad.push(`id twice: ${id}`);
    for (const one of document.querySelectorAll("[aria-labelledby], [aria-describedby], [aria-controls]")) {
      for (const kind of ["aria-labelledby", "aria-describedby", "aria-controls"])
        for (const id of (one.getAttribute(kind) || "").split(/\s+/).filter(Boolean))
          if (!document.getElementById(id)) bad.push(`${kind} of nothing: ${id}`);
    }
    return bad;
  },

  width() {
    const bad = [];
    const wide = document.scrollingElement.scrollWidth;
    if (wide > innerWidth) bad.push(`the page is ${wide} px wide in a window of ${innerWidth}`);
    const scrolls = (element) => {
      for (let one = element.parentElement; one; one = one.parentElement)
        if (/auto|scroll/.test(getComputedStyle(one).overflowX)) return true;
      return false;
    };
    for (const element of document.body.querySelectorAll("*")) {
      if (!visible(element) || clipped(element)) continue;
      const box = element.getBoundingClientRect();
      if ((box.right > innerWidth + 1 || box.left < -1) && !scrolls(element))
        bad.push(`from ${box.left | 0} to ${box.right | 0} px: ${name(element)}`);
      const style = getComputedStyle(element);
      if (element.scrollWidth > element.clientWidth + 1 && style.overflowX === "hidden")
        bad.push(`cut off: ${name(element)}`);
    }
    return bad;
  },

  targets(minimum) {
    return interactive().filter((one) => {
      const box = one.getBoundingClientRect();
      const inText = one.localName === "a" && getComputedStyle(one).display === "inline";
      const byLabel = one.labels && [...one.labels].some((l) => l.getBoundingClientRect().height >= minimum);
      // A word of three letters is narrow; what matters is that lines of links are apart.
      const narrow = one.localName !== "a" && box.width < minimum;
      return !inText && !byLabel && (narrow || box.height < minimum);
    }).map((one) => `${one.getBoundingClientRect().width | 0} × ${one.getBoundingClientRect().height | 0}: ${name(one)}`);
  },

  focus(minimum) {
    const one = document.activeElement;
    if (!one || one === document.body || one === document.documentElement) return null;
    const style = getComputedStyle(one);
    const box = one.getBoundingClientRect();
    const around = behind(one.parentElement);
    const outline = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 &&
      ratio(over(rgba(style.outlineColor), around), around) >= minimum;
    const inside = box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth;
    window.focusOrder ??= new Map();
    if (!window.focusOrder.has(one)) window.focusOrder.set(one, window.focusOrder.size);
    return {index: interactive().indexOf(one), seen: window.focusOrder.get(one), name: name(one),
      visible: outline && inside};
  },

  brightness() {
    return luminance(behind(document.body)) > 0.5 ? "light" : "dark";
  },

  controls() {
    return interactive().map(name);
  },
};
