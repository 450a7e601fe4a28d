"use strict";
// A small map viewer and table: images and polygons share the grid's pixel coordinates, so one transform draws everything.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const words = data.words;
  const byId = (id) => document.getElementById(id);
  const map = byId("map"), canvas = byId("canvas"), pen = canvas.getContext("2d"), handle = byId("swipe");
  const view = { x: data.width / 2, y: data.height / 2, scale: 1, split: data.images.pre ? 0.5 : 0, chosen: -1 };
  const images = {};

  // ---- landslides: rings as differences, [x, y, dx, dy, ...] in grid pixels --------------------------------------
  const trace = (path, rings) => {
    for (const ring of rings) {
      let x = ring[0], y = ring[1];
      path.moveTo(x, y);
      for (let i = 2; i < ring.length; i += 2) path.lineTo((x += ring[i]), (y += ring[i + 1]));
      path.closePath();
    }
    return path;
  };
  const box = (slide) => {
    let left = Infinity, top = Infinity, right = -Infinity, bottom = -Infinity;
    for (const ring of slide.rings) {
      let x = 0, y = 0;
      for (let i = 0; i < ring.length; i += 2) {
        x += ring[i]; y += ring[i + 1];
        if (x < left) left = x;
        if (x > right) right = x;
        if (y < top) top = y;
        if (y > bottom) bottom = y;
      }
    }
    return slide.rings.length ? [left, top, right, bottom] : [slide.at[0] - 1, slide.at[1] - 1, slide.at[0] + 1, slide.at[1] + 1];
  };
  const column = Object.fromEntries(data.columns.map((name, i) => [name, i]));
  const slides = data.rows.map((row, i) => ({ row, rings: data.rings[i], at: data.points[i] }));
  for (const slide of slides) slide.box = box(slide);
  // A path each, made when it is first drawn: one path of thousands of outlines takes a browser seconds to build, the
  // longer it is the more a further outline.
  const pathOf = (slide) => (slide.path ??= trace(new Path2D(), slide.rings));
  const layers = {};
  for (const slide of slides) (layers[slide.row[column.confidence]] ??= []).push(slide);
  const rejected = trace(new Path2D(), data.rejected);
  const reach = trace(new Path2D(), data.affected.reach ?? []);
  const roads = new Path2D();
  for (const line of data.affected.roads ?? []) {
    let x = line[0], y = line[1];
    roads.moveTo(x, y);
    for (let i = 2; i < line.length; i += 2) roads.lineTo((x += line[i]), (y += line[i + 1]));
  }

  // ---- drawing ----------------------------------------------------------------------------------------------------
  const size = () => [map.clientWidth, map.clientHeight];
  let onPaper = false;
  const sharpness = () => (onPaper ? 3 : window.devicePixelRatio || 1);
  const on = (name) => byId("show-" + name)?.checked;
  const place = () => {
    const ratio = sharpness(), [w, h] = size();
    const k = view.scale * ratio;
    pen.setTransform(k, 0, 0, k, (w / 2 - view.x * view.scale) * ratio, (h / 2 - view.y * view.scale) * ratio);
  };
  const paint = (name) => {
    const image = images[name];
    if (!image) return;
    pen.imageSmoothingEnabled = (view.scale * data.images[name].width) / image.naturalWidth < 3;
    pen.drawImage(image, 0, 0, data.images[name].width, data.images[name].height);
  };
  const clipped = (from, to, draw) => {
    const ratio = sharpness(), h = canvas.height;
    pen.save();
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.beginPath();
    pen.rect(from * canvas.width, 0, (to - from) * canvas.width, h);
    pen.clip();
    place();
    draw();
    pen.restore();
  };
  const outline = (path, colour, width, fill) => {
    pen.lineWidth = width / view.scale;
    pen.strokeStyle = colour;
    if (fill) { pen.globalAlpha = 0.25; pen.fillStyle = colour; pen.fill(path, "evenodd"); pen.globalAlpha = 1; }
    pen.stroke(path);
  };
  const drawSlides = () => {
    const [w, h] = size(), across = w / 2 / view.scale, down = h / 2 / view.scale, dot = Math.max(1, Math.min(2, 2 * view.scale)) / view.scale;
    const seen = (s) => s.box[2] >= view.x - across && s.box[0] <= view.x + across && s.box[3] >= view.y - down && s.box[1] <= view.y + down;
    for (const [name, all] of Object.entries(layers)) {
      const shown = all.filter(seen), outlined = shown.filter((s) => s.rings.length);
      pen.lineWidth = Math.max(0.5, Math.min(1.5, 1.5 * view.scale)) / view.scale;  // from afar thin: the ground stays visible
      pen.strokeStyle = pen.fillStyle = data.colours[name];
      pen.globalAlpha = 0.25;
      for (const slide of outlined) pen.fill(pathOf(slide), "evenodd");
      pen.globalAlpha = 1;
      for (const slide of outlined) pen.stroke(pathOf(slide));
      for (const { at: [x, y], rings } of shown) if (!rings.length) pen.fillRect(x - dot, y - dot, 2 * dot, 2 * dot);
    }
  };
  const star = () => {
    const [x, y] = data.epicentre, r = 9 / view.scale;
    pen.beginPath();
    for (let i = 0; i < 10; i++) {
      const a = (Math.PI * i) / 5 - Math.PI / 2, d = i % 2 ? r * 0.45 : r;
      pen.lineTo(x + d * Math.cos(a), y + d * Math.sin(a));
    }
    pen.closePath();
    pen.fillStyle = "#ffd92f"; pen.fill();
    pen.lineWidth = 1.2 / view.scale; pen.strokeStyle = "#000"; pen.stroke();
  };
  const scaleBar = () => {
    const target = (110 / view.scale) * data.resolution_m, power = 10 ** Math.floor(Math.log10(target));
    const length = [5, 2, 1].map((s) => s * power).find((l) => l <= target);
    const bar = byId("scale");
    bar.style.width = (length / data.resolution_m) * view.scale + "px";
    bar.textContent = length >= 1000 ? length / 1000 + " km" : length + " m";
  };
  const draw = () => {
    const ratio = sharpness(), [w, h] = size();
    if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
      canvas.width = Math.round(w * ratio);
      canvas.height = Math.round(h * ratio);
    }
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    clipped(0, 1, () => paint("terrain"));
    if (view.split > 0) clipped(0, view.split, () => paint("pre"));
    clipped(view.split, 1, () => paint("post"));
    place();
    if (on("relief")) {  // light and shade of the ground over the colours of the images
      pen.globalCompositeOperation = "soft-light";
      pen.globalAlpha = 0.8;
      paint("relief");
      pen.globalAlpha = 1;
      pen.globalCompositeOperation = "source-over";
    }
    if (on("unseen")) paint("unseen");
    if (on("probability")) paint("heat");
    if (on("rejected")) { pen.setLineDash([4 / view.scale, 3 / view.scale]); outline(rejected, "#d9d9d9", 1.2, false); pen.setLineDash([]); }
    if (on("affected")) outline(reach, data.affected.colours.below, 1, true);
    if (on("landslides")) drawSlides();
    if (on("affected")) outline(roads, data.affected.colours.within, 4, false);
    if (view.chosen >= 0) {
      const slide = slides[view.chosen];
      outline(pathOf(slide), "#fff", 4, false);
      outline(pathOf(slide), "#00b7ff", 2, false);
    }
    star();
    scaleBar();
    handle.style.left = view.split * 100 + "%";
    handle.setAttribute("aria-valuenow", Math.round(view.split * 100));
  };
  let waiting = false;
  const redraw = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  };

  // ---- moving -----------------------------------------------------------------------------------------------------
  const smallest = () => { const [w, h] = size(); return Math.min(w / data.width, h / data.height); };
  const fit = () => { Object.assign(view, { x: data.width / 2, y: data.height / 2, scale: smallest() * 0.98 }); redraw(); };
  const zoomAt = (factor, px, py) => {
    const [w, h] = size();
    const gx = view.x + (px - w / 2) / view.scale, gy = view.y + (py - h / 2) / view.scale;
    view.scale = Math.max(smallest() * 0.5, Math.min(40, view.scale * factor));
    view.x = gx - (px - w / 2) / view.scale;
    view.y = gy - (py - h / 2) / view.scale;
    redraw();
  };
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  let flight = 0;
  const fly = (index) => {
    const [left, top, right, bottom] = slides[index].box, [w, h] = size();
    const goal = { x: (left + right) / 2, y: (top + bottom) / 2 };
    goal.scale = Math.min(12, 0.35 * Math.min(w / (right - left), h / (bottom - top)));
    const from = { x: view.x, y: view.y, scale: view.scale }, begun = performance.now(), mine = ++flight;
    const stepTo = (now) => {
      if (mine !== flight) return;
      const t = still ? 1 : Math.min(1, (now - begun) / 500), ease = t * t * (3 - 2 * t);
      view.scale = from.scale * (goal.scale / from.scale) ** ease;
      view.x = from.x + (goal.x - from.x) * ease;
      view.y = from.y + (goal.y - from.y) * ease;
      draw();
      if (t < 1) requestAnimationFrame(stepTo);
    };
    requestAnimationFrame(stepTo);
  };
  const touches = new Map();
  let moved = 0;
  const here = (event) => { const r = map.getBoundingClientRect(); return [event.clientX - r.left, event.clientY - r.top]; };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    touches.set(event.pointerId, here(event));
    moved = 0; flight++;
  });
  canvas.addEventListener("pointermove", (event) => {
    const last = touches.get(event.pointerId);
    if (!last) return;
    const now = here(event), dx = now[0] - last[0], dy = now[1] - last[1];
    if (touches.size === 1) {
      view.x -= dx / view.scale; view.y -= dy / view.scale;
    } else {
      const other = [...touches].find(([id]) => id !== event.pointerId)[1];
      const before = Math.hypot(last[0] - other[0], last[1] - other[1]), after = Math.hypot(now[0] - other[0], now[1] - other[1]);
      if (before > 0) zoomAt(after / before, (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    }
    moved += Math.abs(dx) + Math.abs(dy);
    touches.set(event.pointerId, now);
    redraw();
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => {
    touches.delete(event.pointerId);
    if (end === "pointerup" && moved < 5) pick(...here(event));
  });
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); flight++; zoomAt(Math.exp(-event.deltaY * 0.0015), ...here(event)); }, { passive: false });
  canvas.addEventListener("dblclick", (event) => zoomAt(2, ...here(event)));
  canvas.addEventListener("keydown", (event) => {
    const step = 60 / view.scale;
    const act = {
      "+": () => zoomAt(1.4, ...size().map((n) => n / 2)), "-": () => zoomAt(1 / 1.4, ...size().map((n) => n / 2)),
      ArrowLeft: () => (view.x -= step), ArrowRight: () => (view.x += step), ArrowUp: () => (view.y -= step), ArrowDown: () => (view.y += step),
    }[event.key];
    if (act) { act(); event.preventDefault(); redraw(); }
  });
  byId("plus").onclick = () => zoomAt(1.6, ...size().map((n) => n / 2));
  byId("minus").onclick = () => zoomAt(1 / 1.6, ...size().map((n) => n / 2));
  byId("fit").onclick = () => { flight++; fit(); };

  // ---- before and after -------------------------------------------------------------------------------------------
  if (data.images.pre) {
    const split = (value) => { view.split = Math.max(0, Math.min(1, value)); redraw(); };
    handle.addEventListener("pointerdown", (event) => handle.setPointerCapture(event.pointerId));
    handle.addEventListener("pointermove", (event) => { if (handle.hasPointerCapture(event.pointerId)) split(here(event)[0] / size()[0]); });
    handle.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -0.05, ArrowRight: 0.05 }[event.key];
      if (by) { event.preventDefault(); split(view.split + by); }
    });
  }
  for (const input of document.querySelectorAll(".switches input")) input.onchange = redraw;

  // ---- table ------------------------------------------------------------------------------------------------------
  const table = byId("slides"), perPage = 25;
  const state = { order: slides.map((_, i) => i), by: column.area_m2, down: true, page: 0, filter: "" };
  const digits = { area_m2: 0, length_m: 0, width_m: 0, slope_mean_deg: 1, relief_m: 0, probability_mean: 2, lon: 5, lat: 5, roads_m: 0, roads_below_m: 0, buildings: 0, buildings_below: 0, people: 0, people_below: 0 };
  const ranks = { confidence: ["low", "medium", "high"] };
  const spoken = { confidence: words.confidence, status: words.statuses };
  const told = (name, value) => (value === null ? "–" : name in spoken ? spoken[name][value] ?? value : name in digits ? value.toLocaleString(document.documentElement.lang, { minimumFractionDigits: digits[name], maximumFractionDigits: digits[name] }) : value);
  const choose = (index, flying) => {
    view.chosen = index;
    const panel = byId("about");
    panel.replaceChildren();
    panel.hidden = index < 0;
    if (index >= 0) {
      const list = document.createElement("dl");
      data.columns.forEach((name, i) => {
        const term = document.createElement("dt"), value = document.createElement("dd");
        term.textContent = words.columns[name];
        value.textContent = told(name, slides[index].row[i]);
        list.append(term, value);
      });
      panel.append(list);
      if (flying) fly(index);
    }
    fill();
    redraw();
  };
  const pick = (px, py) => {
    const [w, h] = size(), gx = view.x + (px - w / 2) / view.scale, gy = view.y + (py - h / 2) / view.scale;
    const ratio = pen.getTransform();
    pen.setTransform(1, 0, 0, 1, 0, 0);
    const hit = slides.findIndex((s) => gx >= s.box[0] && gx <= s.box[2] && gy >= s.box[1] && gy <= s.box[3]
      && (!s.rings.length || pen.isPointInPath(pathOf(s), gx, gy, "evenodd")));
    pen.setTransform(ratio);
    choose(hit, false);
  };
  const fill = () => {
    if (!table) return;
    const shown = state.order.filter((i) => !state.filter || String(slides[i].row[0]).toLowerCase().includes(state.filter));
    const pages = Math.max(1, Math.ceil(shown.length / perPage));
    state.page = Math.max(0, Math.min(pages - 1, state.page));
    const body = table.tBodies[0];
    body.replaceChildren(...shown.slice(state.page * perPage, (state.page + 1) * perPage).map((i) => {
      const line = document.createElement("tr");
      line.tabIndex = 0;
      line.className = i === view.chosen ? "on" : "";
      line.dataset.id = slides[i].row[0];
      data.columns.slice(0, data.in_table).forEach((name, c) => (line.insertCell().textContent = told(name, slides[i].row[c])));
      line.onclick = () => { choose(i, true); map.scrollIntoView({ block: "nearest", behavior: still ? "auto" : "smooth" }); };
      line.onkeydown = (event) => { if (event.key === "Enter") line.onclick(); };
      return line;
    }));
    byId("page").textContent = `${state.page + 1} ${words.of} ${pages}`;
    [...table.tHead.rows[0].cells].forEach((cell, c) => {
      if (c === state.by) cell.setAttribute("aria-sort", state.down ? "descending" : "ascending"); else cell.removeAttribute("aria-sort");
    });
  };
  const sort = () => {
    const rank = ranks[data.columns[state.by]], sign = state.down ? -1 : 1;
    const key = (i) => { const value = slides[i].row[state.by]; return rank ? rank.indexOf(value) : value; };
    state.order.sort((a, b) => {
      const [p, q] = [key(a), key(b)];
      if (p === null || q === null) return (p === null) - (q === null);
      return p < q ? -sign : p > q ? sign : a - b;
    });
    fill();
  };
  if (table) {
    [...table.tHead.rows[0].cells].forEach((cell, c) => (cell.firstChild.onclick = () => {
      state.down = state.by === c ? !state.down : typeof slides[0]?.row[c] === "number" || data.columns[c] === "confidence";
      state.by = c; state.page = 0; sort();
    }));
    byId("back").onclick = () => { state.page--; fill(); };
    byId("forth").onclick = () => { state.page++; fill(); };
    byId("find").oninput = (event) => { state.filter = event.target.value.trim().toLowerCase(); state.page = 0; fill(); };
    sort();
  }

  // ---- begin ------------------------------------------------------------------------------------------------------
  let whole = true;
  new ResizeObserver(() => { if (whole) { whole = false; fit(); } redraw(); }).observe(map);
  // On paper: the whole area, after the event, in the size that the style sheet gives the map there.
  const paper = { width: "690px", height: "470px" };
  let onScreen = null;
  window.addEventListener("beforeprint", () => {
    onScreen = { ...view }; onPaper = true;
    Object.assign(map.style, paper);
    fit(); view.split = 0; draw();
  });
  window.addEventListener("afterprint", () => {
    onPaper = false;
    for (const name in paper) map.style[name] = "";
    if (onScreen) Object.assign(view, onScreen);
    redraw();
  });
  const loaded = Object.entries(data.images).map(async ([name, { address }]) => {
    const image = new Image();
    image.src = address;
    await image.decode();
    images[name] = image;
    redraw();
  });
  Promise.all(loaded).then(() => { draw(); map.dataset.ready = "yes"; });
})();
