/* The desk's keys, dialog, countdown and selection. Without it every page works by links and forms.
   Text from people is only ever put where it can be nothing but text. */
(() => {
  "use strict";
  const $ = (what, where = document) => where.querySelector(what);
  const all = (what, where = document) => [...where.querySelectorAll(what)];
  const page = document.body.dataset.page;
  const dialog = $("#sheet");
  let keysOn = localStorage.getItem("keys") !== "off";
  let starred = 0;    // when `*` was pressed
  let going = 0;      // when `g` was pressed
  let current = null; // the key of the row under the keyboard

  // ---- what is said aloud ------------------------------------------------------------------------
  const say = (text) => { const at = $("#said"); at.textContent = ""; requestAnimationFrame(() => { at.textContent = text; }); };
  document.addEventListener("desk-said", (event) => say(event.detail.value));

  // ---- rows ----------------------------------------------------------------------------------------
  const rows = () => all("#rows > .row");
  const rowOf = (node) => node && node.closest ? node.closest("#rows > .row") : null;
  const keyOf = (row) => row.dataset.requestId || row.dataset.person; // by person, a row is one with all of their requests
  const now = () => (current && document.getElementById("r-" + current)) || null;

  function focusRow(row, { scroll = true } = {}) {
    if (!row) return;
    const before = row.getBoundingClientRect().top;
    for (const other of all(".is-focus")) if (other !== row) { other.classList.remove("is-focus"); other.removeAttribute("aria-current"); }
    row.classList.add("is-focus");
    row.setAttribute("aria-current", "true");
    current = keyOf(row);
    const link = $(".who", row);
    if (document.activeElement !== link) link.focus({ preventScroll: true });
    const moved = row.getBoundingClientRect().top - before;
    if (moved) window.scrollBy(0, moved); // a row above folded up: this one stays where it was
    if (scroll) row.scrollIntoView({ block: "nearest" });
    place(row);
  }
  function place(row) {
    const at = $("#place");
    if (at) { const list = rows(); at.textContent = `row ${list.indexOf(row) + 1} of ${list.length}`; }
  }
  function step(by) {
    const list = rows(), at = list.indexOf(now());
    if (!list.length) return;
    const next = at < 0 ? (by > 0 ? 0 : list.length - 1) : at + by;
    if (next >= list.length) { const more = $(".pager a[rel=next]"); if (more) more.focus(); return; }
    focusRow(list[Math.max(0, next)]);
  }
  function following(row) {
    const list = rows(), at = list.indexOf(row);
    return list.slice(at + 1).find((one) => !one.matches(".is-leaving, .is-gone")) || null;
  }
  function enter(target) {
    const row = rowOf(target);
    if (!row || keyOf(row) === current) return;
    const before = row.getBoundingClientRect().top;
    for (const other of all(".is-focus")) { other.classList.remove("is-focus"); other.removeAttribute("aria-current"); }
    row.classList.add("is-focus"); row.setAttribute("aria-current", "true");
    current = keyOf(row);
    window.scrollBy(0, row.getBoundingClientRect().top - before);
    place(row);
  }
  // A row above folds up only once the pointer is let go: else what is pressed slips away from under it, and nothing is pressed.
  let isDown = false;
  document.addEventListener("pointerdown", () => { isDown = true; }, true);
  for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => setTimeout(() => { isDown = false; enter(document.activeElement); }), true);
  document.addEventListener("focusin", (event) => { if (!isDown) enter(event.target); });
  // One tab stop a row: the person's link. The arrows go along its buttons.
  function rove(root) { for (const one of all("#rows .c-act > :is(a, button), #rows .c-pick input, #rows .at :is(input, a)", root)) one.tabIndex = -1; }
  function along(by) {
    const row = now();
    if (!row) return false;
    const stops = all(".who, .at :is(input, a), .c-act > :is(a, button)", row), at = stops.indexOf(document.activeElement);
    if (at < 0) return false;
    const next = stops[at + by];
    if (next) next.focus();
    return true;
  }

  // ---- deciding ------------------------------------------------------------------------------------
  // Each kind of call has a queue of its own (`hx-sync` in base.html): decisions wait for one another and none is dropped.
  // A call begins when the one before it has been answered: what it replaces is looked for then, not when the key was pressed.
  const inTurn = () => { let last = Promise.resolve(); return (call) => { last = last.then(call).catch(() => {}); }; };
  const deciding = inTurn(), picking = inTurn();
  const post = (url, values) => deciding(() => htmx.ajax("POST", url, { source: "#via-post", target: "#tray", swap: "outerHTML", values }));
  function decide(row, verb) {
    if (!row || row.matches(".is-leaving, .is-gone")) return;
    const control = $(`[data-do="${verb}"]`, row);
    if (!control) { say("That cannot be decided here."); return; }
    if ("direct" in control.dataset) { control.click(); return; }
    const sheet = control.dataset.sheetUrl || ("sheet" in control.dataset && control.href);
    if (sheet) { openSheet(sheet); return; }
    const next = following(row);
    leaving(row, verb);
    post("/tray", { [verb]: control.value });
    if (next) focusRow(next);
  }
  // A key means the selection where its row is ticked, and its row alone where it is not: ticks elsewhere change nothing.
  function decideByKey(verb) {
    const row = now(), box = row && $("[data-pick]", row);
    if (!box || !box.checked || box.disabled) { decide(row, verb); return; }
    picking(() => { // once the desk knows of every tick
      const bar = $("#bulk");
      if (Number(bar.dataset.count) > 1) bar.requestSubmit($(`[name=verb][value=${verb}]`, bar)); else decide(row, verb);
    });
  }
  function until(row) {
    const able = row && row.dataset.requestId && !row.matches(".is-leaving, .is-gone") && $('[data-do="accept"]', row);
    if (able) openSheet(`/requests/${row.dataset.requestId}/until`); else say("That cannot be decided here.");
  }
  // The row shows at once that it is leaving; the answer of the desk follows, and says if it is not so.
  function leaving(row, verb) {
    row.classList.add("is-leaving");
    decided.push(keyOf(row));
    const say = $(".c-say", row), word = document.createElement("span");
    word.className = `v v-${verb}`;
    word.textContent = { accept: "accepting", reset: "sending back", reject: "rejecting", cancel: "returning to pending" }[verb];
    say.replaceChildren(word);
    $(".c-act", row).replaceChildren();
    const box = $("[data-pick]", row), bar = $("#bulk"), others = bar ? Number(bar.dataset.count) : 0;
    if (box && box.checked) pick([box], false);
    else if (others) $("b", bar).textContent = `${others} ${others === 1 ? "other stays" : "others stay"} selected`;
  }
  // The cursor goes back to the row that is taken back: at once where it was decided on this page, else when the desk names it.
  const decided = [];
  let stood = null; // the key of the row from which the desk was asked
  function undoLast() {
    const key = decided.pop(), row = key && document.getElementById("r-" + key);
    if (row) { stood = null; focusRow(row); } else stood = current;
    post("/tray/undo", { which: "last" });
  }
  document.addEventListener("desk-undone", (event) => {
    if (stood !== null && stood === current) focusRow(rowOf($(`#rows [data-request-id="${CSS.escape(event.detail.value)}"]`)));
    stood = null;
  });
  const openSheet = (url) => htmx.ajax("GET", url, { source: "#via-sheet", target: "#sheet-body", swap: "innerHTML" });
  function showSheet() {
    if (!$("#sheet-body").firstElementChild) return;
    if (!dialog.open) dialog.showModal();
    const reason = $("#reason", dialog), enter = $("[data-enter]", dialog);
    count(reason);
    (reason && !reason.value ? reason : enter || $("h1", dialog) || dialog).focus();
  }
  document.addEventListener("htmx:afterSwap", (event) => { if (event.detail.target.id === "sheet-body") showSheet(); });
  function closeSheet() { dialog.close(); $("#sheet-body").replaceChildren(); const row = now(); if (row) $(".who", row).focus({ preventScroll: true }); }
  dialog.addEventListener("cancel", (event) => { event.preventDefault(); closeSheet(); });

  document.addEventListener("submit", (event) => {
    const form = event.target, button = event.submitter;
    if (form.id === "decide" && button && rowOf(button)) { event.preventDefault(); decide(rowOf(button), button.dataset.do); return; }
    if (form.matches("[data-tray]") && page === "queue") {
      event.preventDefault();
      const url = (button && button.getAttribute("formaction")) || form.getAttribute("action");
      const row = rowOf(button);
      stood = url === "/tray/undo" && !row ? current : null;
      post(url, button && button.name ? { [button.name]: button.value } : {});
      if (row) focusRow(row);
      return;
    }
    if (form.id === "bulk" && button && button.dataset.select) {
      event.preventDefault();
      const what = button.dataset.select;
      for (const box of all("#rows [data-pick]")) if (!box.disabled) box.checked = what === "all";
      pickPost({ do: what });
      return;
    }
    if (form.matches("[data-sheet-form]") && dialog.contains(form) && page === "queue") {
      event.preventDefault();
      const values = Object.fromEntries(new FormData(form)), row = document.getElementById("r-" + values.key);
      const trouble = refusal(values);
      if (trouble) { say(trouble); const at = $("#reason", form); at.setAttribute("aria-invalid", "true"); at.focus(); return; }
      const next = row && following(row);
      dialog.close(); $("#sheet-body").replaceChildren();
      if (row) leaving(row, values.verb);
      post("/tray", values);
      focusRow(next || row);
    }
  });
  function refusal(values) {
    if (!("reason" in values)) return "";
    if (!values.reason.trim() && values.silent !== "yes") return "Say why, or tick that no reason is given.";
    return values.reason.length > 200 ? "The reason is too long." : "";
  }
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const opens = event.target.closest("[data-sheet-url], a[data-sheet]");
    if (opens) { event.preventDefault(); openSheet(opens.dataset.sheetUrl || opens.href); return; }
    const flip = event.target.closest("[data-keys-switch]");
    if (flip) { keysOn = !keysOn; localStorage.setItem("keys", keysOn ? "on" : "off"); showSwitch(); return; }
    const text = event.target.closest("[data-text]");
    if (text) { const at = $("#reason"); at.value = text.dataset.text; count(at); $("[data-enter]", text.form).focus(); return; }
    if (event.target.closest("[data-close]") && dialog.open) { event.preventDefault(); closeSheet(); }
  });
  function count(at) {
    if (!at) return;
    const box = document.getElementById(at.getAttribute("aria-describedby"));
    if (!box) return;
    $("meter", box).value = at.value.length; // JavaScript counts UTF-16 units, as the Hub does
    $("b", box).textContent = at.value.length;
    if (at.value.trim()) at.removeAttribute("aria-invalid");
  }
  document.addEventListener("input", (event) => {
    const chosen = event.target.dataset.chooses; // a day of the calendar was meant, not a length of time
    if (chosen) for (const one of all(`[name=until][value=${chosen}]`, event.target.form)) one.checked = true;
  });
  document.addEventListener("input", (event) => { if (event.target.matches("textarea[data-count]")) count(event.target); });

  // ---- selecting: kept by the desk, never here -----------------------------------------------------------
  let anchor = null;
  const pickPost = (values) => picking(() => htmx.ajax("POST", "/selection", { source: "#via-pick", target: "#bulk", swap: "outerHTML", values: { q: ($("#bulk [name=q]") || {}).value || "", ...values } }));
  function pick(boxes, on) {
    const some = boxes.filter((box) => !box.disabled && box.checked !== on);
    for (const box of some) box.checked = on;
    if (some.length) pickPost({ do: on ? "add" : "remove", key: some.map((box) => box.value) });
  }
  function pickRow(row, range) {
    for (const tick of row ? all("[data-tick]", row) : []) if (!tick.disabled) tick.checked = !tick.checked;
    const box = row && $("[data-pick]", row);
    if (!box || box.disabled) return;
    const list = rows(), from = range && anchor ? list.indexOf(document.getElementById(anchor)) : -1;
    if (from >= 0) {
      const [a, b] = [from, list.indexOf(row)].sort((x, y) => x - y);
      pick(list.slice(a, b + 1).map((one) => $("[data-pick]", one)).filter(Boolean), true);
    } else pick([box], !box.checked);
    anchor = row.id;
  }
  document.addEventListener("change", (event) => {
    const box = event.target;
    if (box.matches("[data-pick]")) { anchor = box.closest(".row").id; pickPost({ do: box.checked ? "add" : "remove", key: box.value }); }
    if (box.matches("[data-pick-page]")) { const on = box.checked; pick(all("#rows [data-pick]"), on); }
  });

  // ---- why -----------------------------------------------------------------------------------------
  function why(row) {
    if (!row) return;
    const open = row.nextElementSibling && row.nextElementSibling.matches(".why-row") ? row.nextElementSibling : null;
    if (open) { open.remove(); return; }
    const line = document.createElement("tr"), cell = document.createElement("td");
    line.className = "why-row"; cell.colSpan = row.children.length; line.append(cell); row.after(line);
    const key = row.dataset.requestId || $("[data-request-id]", row).dataset.requestId;
    htmx.ajax("GET", `/requests/${key}/why`, { source: cell, target: cell, swap: "innerHTML" });
  }

  // ---- keys ----------------------------------------------------------------------------------------
  const isTyping = (node) => node && (node.matches("textarea, select, [contenteditable]") || (node.matches("input") && !["checkbox", "radio", "button"].includes(node.type)));
  const go = { q: "/queue", p: "/plans", r: "/repos", u: "/people", o: "/policies", l: "/audit", s: "/settings", t: "/tray" };
  const inQueue = {
    j: () => step(1), k: () => step(-1), ArrowDown: () => step(1), ArrowUp: () => step(-1),
    o: () => { const row = now(); if (row) $(".who", row).click(); },
    a: () => decideByKey("accept"), A: () => until(now()), s: () => decideByKey("reset"), r: () => decideByKey("reject"),
    x: () => pickRow(now(), false), X: () => pickRow(now(), true),
    c: () => decideByKey("cancel"), e: () => why(now()),
    z: undoLast,
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key, where = document.activeElement;
    if (key === "Escape" && isTyping(where) && !dialog.open) { where.blur(); const row = now(); if (row) focusRow(row); return; }
    if (isTyping(where)) {
      const composes = event.isComposing || event.keyCode === 229; // Enter ends a word of an input method
      const sends = key === "Enter" && !event.shiftKey && !composes && where.matches("[data-sheet-form] textarea");
      if (sends) { event.preventDefault(); where.form.requestSubmit($("[data-enter]", where.form)); }
      return;
    }
    if (dialog.open) { press(event, dialog); return; }
    if ((key === "ArrowRight" || key === "ArrowLeft") && along(key === "ArrowRight" ? 1 : -1)) { event.preventDefault(); return; }
    if (!keysOn && key.length === 1 && key !== "?") return;
    if (going && Date.now() - going < 1500 && go[key]) { going = 0; event.preventDefault(); location.href = go[key]; return; }
    going = key === "g" ? Date.now() : 0;
    if (starred && Date.now() - starred < 1500 && page === "queue" && (key === "a" || key === "n")) {
      starred = 0; event.preventDefault(); pick(all("#rows [data-pick]"), key === "a"); return;
    }
    starred = key === "*" ? Date.now() : 0;
    if (key === "/") { event.preventDefault(); const box = $("#q") || $("#jump"); box.focus(); box.select(); return; }
    if (page === "queue" && inQueue[key]) { event.preventDefault(); inQueue[key](); return; }
    press(event, document);
  });
  function press(event, root) {
    const key = event.key === '"' ? '\\"' : event.key;
    if (key.length !== 1 || !/[\w?\[\]*]/.test(key)) return;
    const found = all(`[data-key="${key === "]" ? "\\]" : key === "[" ? "\\[" : key}"]`, root).find((one) => one.offsetParent !== null);
    if (!found) return;
    event.preventDefault();
    if (found.matches("textarea, input:not([type=radio])")) found.focus(); else found.click();
  }

  // ---- the tray counts down --------------------------------------------------------------------------
  let asked = 0;
  function tick() {
    for (const one of all("span[data-left]")) {
      const left = Math.max(0, Number(one.dataset.left) - 1);
      one.dataset.left = left;
      one.textContent = left;
    }
    const tray = $("#tray"), busy = Number(tray && tray.dataset.count) > 0 || all(".is-leaving").length > 0;
    const pause = busy ? 1000 : $("[data-wait]") ? 1000 * ($("[data-wait]").dataset.wait || 2) : 15000;
    if (document.hidden || Date.now() - asked < pause - 50 || $("#via-post.htmx-request")) return;
    asked = Date.now();
    if ($("[data-wait]")) { location.reload(); return; }
    if (!busy && $("[data-look]") && !document.activeElement.matches("input, textarea")) lookAgain();
    const leave = page === "queue" ? all(".is-leaving").map((row) => row.dataset.requestId).slice(0, 100).join(",") : "";
    if (page === "request" && !busy) return;
    if (page === "queue" || tray) htmx.ajax("GET", "/tray?rows=" + encodeURIComponent(leave), { source: "#via-poll", target: "#tray", swap: "outerHTML" });
  }
  setInterval(tick, 1000);
  // An empty queue asks by itself, which keeps nobody signed in, and is drawn anew once somebody stands in it.
  function lookAgain() {
    fetch(location.href, { headers: { "HX-Request": "true", "HX-Trigger": "via-poll" } })
      .then((answer) => answer.text()).then((text) => { if (text.includes('id="rows"')) location.reload(); }, () => {});
  }

  // Whoever leaves a request does not look at it any more.
  const look = $("#looking");
  if (look) addEventListener("pagehide", () => navigator.sendBeacon(look.getAttribute("hx-post"), new URLSearchParams({ gone: "yes" })));

  function showSwitch() {
    for (const one of all("[data-script]")) one.hidden = false;
    for (const one of all("[data-keys-switch]")) one.textContent = `Switch single keys ${keysOn ? "off" : "on"}`;
  }

  // The button names the theme that it leads to; which one the system has, only the browser knows.
  if (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches) {
    const flip = $("[data-theme-switch] button");
    if (flip) { flip.value = "light"; flip.lastChild.textContent = "Light"; }
  }

  // ---- the beginning -----------------------------------------------------------------------------------
  document.addEventListener("htmx:afterSettle", () => { rove(document); showSwitch(); const row = now(); if (row) { row.classList.add("is-focus"); row.setAttribute("aria-current", "true"); } });
  // By person a line is not drawn anew: sent or taken back, it says that it is not in the tray any more.
  document.addEventListener("htmx:afterSettle", () => {
    if (Number($("#tray").dataset.count)) return;
    for (const line of all(".at > .goes")) { line.classList.remove("goes"); $(".v-at", line).textContent = "left the tray"; }
  });
  document.addEventListener("htmx:sendError", () => say("The desk does not answer. Nothing was decided."));
  document.addEventListener("htmx:responseError", (event) => { if (event.detail.xhr.status === 401) location.reload(); });
  rove(document);
  showSwitch();
  const sought = location.hash && document.getElementById(location.hash.slice(1));
  if (page === "queue" && keysOn) focusRow(rowOf(sought) || rows()[0], { scroll: Boolean(rowOf(sought)) });
})();
