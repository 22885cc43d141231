// What the pages cannot do with HTML and CSS alone. Everything here is an addition: without it each page still works.
"use strict";

(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const on = (name, act) => document.addEventListener(name, act);
  const dialog = $("#dialog");
  let openerId = "";

  function announce(text) {
    const region = $("#announcer");
    region.textContent = "";
    setTimeout(() => { region.textContent = text; }, 50);
  }

  // Toasts: 8 seconds, held while pointed at or focused; a warning, or one that offers something, stays.
  function startToast(toast, stays) {
    let timer = 0;
    const hold = () => clearTimeout(timer);
    const run = () => {
      hold();
      // Asked after the event, when what it leaves is neither pointed at nor focused any more.
      timer = setTimeout(() => {
        if (!stays && !toast.matches(":hover, :focus-within")) timer = setTimeout(() => toast.remove(), 8000);
      });
    };
    for (const name of ["mouseenter", "focusin"]) toast.addEventListener(name, hold);
    for (const name of ["mouseleave", "focusout"]) toast.addEventListener(name, run);
    const close = $("[data-toast-close]", toast);
    close.hidden = false;
    close.addEventListener("click", () => toast.remove());
    run();
  }

  function showToast(text, { warns = false, quiet = false, label = "", act = null } = {}) {
    const toast = $("#toast").content.firstElementChild.cloneNode(true);
    $$(":scope > .icon", toast)[warns ? 0 : 1].remove();
    $(".toast__text", toast).textContent = text;
    const stack = $("#toasts");
    // What fails again says so again, and not twice.
    for (const other of [...stack.children]) if ($(".toast__text", other).textContent === text) other.remove();
    stack.append(toast);
    while (stack.children.length > 2) stack.firstElementChild.remove();
    const button = $("[data-toast-act]", toast);
    if (act) {
      button.textContent = label;
      button.addEventListener("click", () => { toast.remove(); act(); });
    } else button.remove();
    startToast(toast, warns || Boolean(act));
    if (!quiet) announce(text);
    return toast;
  }

  // The secret: hidden at first, kept in this closure only, gone when the page or the plate goes.
  function preparePlate(plate) {
    const groups = $$(".plate__group", plate);
    const words = groups.map((group) => group.textContent);
    const code = $(".plate__value", plate);
    const copy = $("[data-plate-copy]", plate);
    const toggle = $("[data-plate-toggle]", plate);
    const note = $("[data-plate-note]", plate);
    const mask = (word, index) => {
      if (index === 0) return word;
      const head = index === 1 ? 4 : 0;
      const tail = index === words.length - 1 ? 4 : 0;
      return word.slice(0, head) + "•".repeat(word.length - head - tail) + word.slice(word.length - tail);
    };
    const show = (shown) => {
      groups.forEach((group, index) => { group.textContent = shown ? words[index] : mask(words[index], index); });
      code.classList.toggle("is-hidden", !shown);
      toggle.classList.toggle("is-on", shown);
      $("[data-plate-word]", toggle).textContent = shown ? "Hide" : "Show";
    };
    const copied = async () => {
      const value = words.join("");
      await navigator.clipboard.writeText(value);
      const right = await navigator.permissions.query({ name: "clipboard-read" }).catch(() => null);
      if (right?.state === "granted" && (await navigator.clipboard.readText()) !== value) throw new Error("differs");
    };
    toggle.addEventListener("click", () => show(code.classList.contains("is-hidden")));
    copy.addEventListener("click", async () => {
      try {
        await copied();
        note.textContent = "";
        $("[data-plate-label]", copy).textContent = "Copied";
        copy.classList.add("is-done", "is-on");
        announce("Copied");
        setTimeout(() => {
          $("[data-plate-label]", copy).textContent = "Copy token";
          copy.classList.remove("is-done", "is-on");
        }, 2000);
      } catch {
        show(true);
        getSelection().selectAllChildren(code);
        note.textContent = "This browser did not copy it. The token is selected: copy it with the keyboard or the menu.";
        announce(note.textContent);
      }
    });
    // Made here from what is shown: the value is never sent back, and the address is gone at once.
    const download = $("[data-plate-download]", plate);
    download?.addEventListener("click", () => {
      const address = URL.createObjectURL(new Blob([`SKYTELLS_TOKEN=${words.join("")}\n`], { type: "text/plain" }));
      const link = Object.assign(document.createElement("a"), { href: address, download: "skytells.env" });
      link.click();
      setTimeout(() => URL.revokeObjectURL(address), 1000);
      announce("Saved as skytells.env");
    });
    if (download) download.hidden = false;
    plate.addEventListener("wipe", () => {
      words.fill("");
      code.textContent = "";
      copy.hidden = toggle.hidden = true;
      if (download) download.hidden = true;
      note.textContent = "Cleared when you left this page. It cannot be shown again.";
    });
    copy.hidden = toggle.hidden = false;
    show(false);
  }

  // ---- Create and shown once ----

  // Suggested names: chips with a script, the field's own list without.
  function prepareSuggestions(box) {
    const input = document.getElementById(box.dataset.suggest);
    input.removeAttribute("list");
    box.hidden = false;
    box.addEventListener("click", (event) => {
      const chip = event.target.closest("button");
      if (!chip) return;
      input.value = chip.textContent;
      input.focus();
    });
  }

  // A level chosen by hand is no preset any more, even where it looks like one.
  function prepareLevels(matrix) {
    matrix.addEventListener("change", () => {
      for (const preset of $$("[data-preset]")) preset.setAttribute("aria-pressed", "false");
    });
  }

  function prepareCode(button) {
    const pre = $("pre", button.closest(".code"));
    const lines = pre.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      const word = $("[data-word]", button);
      try {
        await navigator.clipboard.writeText(lines);
        word.textContent = "Copied";
        button.classList.add("is-on");
        announce("Copied");
        setTimeout(() => {
          word.textContent = "Copy";
          button.classList.remove("is-on");
        }, 2000);
      } catch {
        getSelection().selectAllChildren(pre);
        announce("This browser did not copy it. The commands are selected.");
      }
    });
  }

  // The one showing of a value: over the list where the page has a dialog, and not left by accident.
  function prepareShown(panel) {
    const ask = $("[data-leave]", panel);
    const check = $("[name=stored]", panel);
    let going = false;
    const asked = (open) => {
      ask.hidden = !open;
      $(open ? "[data-leave-stay]" : "#panel-title", panel).focus();
      if (open) ask.scrollIntoView({ block: "nearest" });
    };
    const stop = (event) => {
      if (!panel.isConnected || going) return;
      event.preventDefault();
      asked(true);
    };
    const beforeLeaving = (event) => { if (panel.isConnected && !going) event.preventDefault(); };
    const escape = (event) => { if (event.key === "Escape") stop(event); };
    const leave = () => {
      going = true;
      removeEventListener("beforeunload", beforeLeaving);
      removeEventListener("keydown", escape, true);
    };
    addEventListener("beforeunload", beforeLeaving);
    $("form", panel).addEventListener("submit", leave);
    $("[data-leave-go]", panel).addEventListener("click", leave);
    $("[data-leave-stay]", panel).addEventListener("click", () => asked(false));
    check.addEventListener("invalid", stop);
    check.addEventListener("change", () => { ask.hidden = true; });
    if (!dialog) return;
    $("#dialog-body").replaceChildren(panel);
    dialog.setAttribute("closedby", "none");
    addEventListener("keydown", escape, true);
    dialog.addEventListener("cancel", stop);
    // Where a browser closes it all the same, it opens again: only a confirmed answer leaves.
    dialog.shown = () => panel.isConnected && !going;
    dialog.showModal();
    $("#panel-title", panel).focus();
    window.htmx?.ajax("GET", panel.dataset.shown, { target: "#main", swap: "innerHTML" });
  }

  // A rotation is watched: every two seconds while the page is looked at, for half an hour, until it is done.
  // What is shown may change each minute; a listener is told of a change of state only.
  const watch = { since: 0, timer: 0, state: "", lost: null };
  function stopWatching(text) {
    clearInterval(watch.timer);
    watch.timer = 0;
    const note = $("[data-watch-note]");
    if (!text || !note) return;
    note.textContent = text;
    note.hidden = false;
    sayOfWatch(text);
  }
  function sayOfWatch(text) {
    const region = $("#watch-says");
    if (region) region.textContent = text;
  }
  function look() {
    const link = $("[data-watch-again]");
    if (!link) stopWatching();
    else if (document.hidden) return;
    else if (Date.now() - watch.since > 30 * 60 * 1000) stopWatching("Paused after half an hour. Check again to go on watching.");
    else window.htmx?.trigger(link, "watch");
  }
  function startWatching() {
    clearInterval(watch.timer);
    watch.since = Date.now();
    watch.timer = setInterval(look, 2000);
    watch.lost?.remove();
  }
  function prepareWatch(part) {
    const { state, says } = part.dataset;
    if (!watch.since) startWatching();
    else if (state !== watch.state) sayOfWatch(says);
    watch.state = state;
    if ("done" in part.dataset) stopWatching();
  }
  on("visibilitychange", () => { if (watch.timer && !document.hidden) look(); });
  on("htmx:afterRequest", (event) => {
    const { elt, xhr, requestConfig } = event.detail;
    if (!("watchAgain" in elt.dataset) || requestConfig?.triggeringEvent?.type !== "click") return;
    if (xhr.status === 204) announce("Nothing new yet");
    if (!watch.timer && xhr.status < 400 && !$("[data-watch][data-done]")) {
      $("[data-watch-note]").hidden = true;
      startWatching();
    }
  });

  // Who knocks at a paused token: asked every half minute while the page is looked at, said when it changes.
  let knocks = "";
  function prepareKnocks(banner) {
    if (knocks && knocks !== banner.dataset.knocks) announce(banner.dataset.knocks);
    knocks = banner.dataset.knocks;
  }
  on("htmx:beforeRequest", (event) => {
    const { elt, requestConfig } = event.detail;
    const clicked = requestConfig.triggeringEvent?.type === "click";
    if ("asksAgain" in elt.dataset && document.hidden && !clicked) event.preventDefault();
  });

  function prepareReveal(box) {
    const input = $("input", box);
    const button = $("button", box);
    const show = (shown) => {
      input.type = shown ? "text" : "password";
      button.textContent = shown ? "Hide" : "Show";
      button.setAttribute("aria-label", shown ? "Hide password" : "Show password");
    };
    button.addEventListener("click", () => show(input.type === "password"));
    input.form.addEventListener("submit", () => show(false));
    button.hidden = false;
    show(false);
  }

  function prepare(root) {
    const fresh = (name, act) => {
      for (const element of [root, ...$$(`[data-${name}]`, root)]) {
        if (!(name in element.dataset) || "ready" in element.dataset) continue;
        element.dataset.ready = "";
        act(element);
      }
    };
    fresh("plate", preparePlate);
    fresh("knocks", prepareKnocks);
    fresh("reveal", prepareReveal);
    fresh("suggest", prepareSuggestions);
    fresh("levels", prepareLevels);
    fresh("copy", prepareCode);
    fresh("shown", prepareShown);
    fresh("watch", prepareWatch);
    fresh("toast", (toast) => startToast(toast, ["error", "warning"].includes(toast.dataset.toast)));
    if (root.dataset.title) document.title = `${root.dataset.title} · Skytells Console`;
  }

  prepare(document.body);
  on("htmx:load", (event) => prepare(event.detail.elt));

  // The dialog: the server says when it opens and closes; leaving it by hand is always the safe answer.
  on("htmx:beforeRequest", (event) => {
    const { elt, target, requestConfig } = event.detail;
    if (dialog?.contains(target) && !dialog.open) openerId = requestConfig.triggeringEvent?.submitter?.id || elt.id;
  });
  // A refusal that brings the form itself back, with what was typed, is shown in its place.
  on("htmx:beforeSwap", (event) => {
    const { target, xhr } = event.detail;
    if (![403, 429].includes(xhr.status) || !target.id || !xhr.responseText.includes(`id="${target.id}"`)) return;
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  });
  const openDialog = () => { if (dialog && !dialog.open) dialog.showModal(); };
  on("dialog-open", openDialog);
  on("htmx:afterSwap", (event) => { if (event.detail.target.id === "dialog-body") openDialog(); });
  on("dialog-close", () => dialog?.close());
  dialog?.addEventListener("close", () => {
    if (dialog.shown?.()) { dialog.showModal(); return; }
    for (const plate of $$("[data-plate]", dialog)) plate.dispatchEvent(new Event("wipe"));
    $("#dialog-body").replaceChildren();
    (document.getElementById(openerId) || $("[data-focus-home]"))?.focus();
  });
  // What a swap took the focus from goes on at the heading; what the page asks by itself gives none to who had none.
  const hasNoFocus = () => document.activeElement === document.body;
  // A button that is being pressed must not move away: a draft's answer is asked for again afterwards.
  on("htmx:beforeSwap", ({ detail }) => {
    const { elt, path } = detail.requestConfig;
    const pressed = () => $("[type=submit]:active");
    if (!path.endsWith("/draft") || !pressed()) return;
    detail.shouldSwap = false;
    const waiting = setInterval(() => {
      if (pressed()) return;
      clearInterval(waiting);
      if (elt.isConnected && !elt.form.matches(".htmx-request")) window.htmx.trigger(elt, "click");
    }, 200);
  });
  on("htmx:beforeSwap", ({ detail }) => { detail.requestConfig.leavesFocus = !detail.requestConfig.triggeringEvent && hasNoFocus(); });
  on("htmx:afterSettle", ({ detail }) => {
    if (hasNoFocus() && !detail.requestConfig?.leavesFocus) $("[data-focus-home]")?.focus();
  });

  on("click", (event) => {
    if (dialog?.open && event.target.closest("[data-dialog-close]")) {
      event.preventDefault();
      dialog.close();
    }
    for (const menu of $$("[data-menu][open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  on("keydown", (event) => {
    const menu = event.key === "Escape" && $("[data-menu][open]");
    if (!menu) return;
    menu.open = false;
    $("summary", menu).focus();
  });
  // A click that asks for a new tab is the browser's, not ours.
  document.addEventListener("click", (event) => {
    const wantsTab = event.ctrlKey || event.metaKey || event.shiftKey;
    if (wantsTab && event.target.closest("a[hx-get]")) event.stopImmediatePropagation();
  }, true);

  // The secret does not outlive its page, nor its place on it.
  window.addEventListener("pagehide", () => {
    for (const plate of $$("[data-plate]")) plate.dispatchEvent(new Event("wipe"));
  });
  on("htmx:beforeCleanupElement", (event) => {
    if (event.target.matches?.("[data-plate]")) event.target.dispatchEvent(new Event("wipe"));
  });

  // Messages: from the server (HX-Trigger: {"toast": "cli-macbook revoked"}), and when it does not answer as hoped.
  on("toast", (event) => showToast(event.detail.value));
  const isWatch = (event) => event.detail.requestConfig?.triggeringEvent?.type === "watch";
  on("htmx:responseError", (event) => {
    const { status } = event.detail.xhr;
    if (isWatch(event)) {
      if (status < 500) stopWatching("This page stopped watching. Check again to go on.");
      return;
    }
    const wait = event.detail.xhr.getResponseHeader("Retry-After");
    const asked = Number(wait) > 0 ? `in ${Number(wait)} seconds` : "in a moment";
    const texts = {
      403: "This page is out of date, or you may not do this. Nothing was changed. Reload the page.",
      404: "There is nothing at this address any more. Nothing was changed.",
      429: `Too many requests. Try again ${asked}.`,
    };
    const broken = "Something broke on our side. Check the list before you try again.";
    const refused = "The server refused this. Nothing was changed.";
    showToast(texts[status] || (status >= 500 ? broken : refused), { warns: true });
  });
  for (const name of ["htmx:sendError", "htmx:timeout"]) {
    on(name, (event) => {
      if (isWatch(event)) {
        const text = "Connection lost. This page stopped watching.";
        stopWatching(`${text} Check again to go on.`);
        // The page says the same, and has said it aloud.
        const act = () => $("[data-watch-again]")?.click();
        watch.lost = showToast(text, { warns: true, quiet: true, label: "Reconnect", act });
        return;
      }
      const { elt, requestConfig } = event.detail;
      // What only reads, or only drafts, can be asked again; whether a change was made is for the list to say.
      if (requestConfig.verb !== "get" && !requestConfig.path.endsWith("/draft")) {
        showToast("No answer from the server. Check the list before you try again.", { warns: true });
        return;
      }
      const type = requestConfig.triggeringEvent?.type;
      const text = "No answer from the server. Nothing was changed.";
      // What the page asks by itself, again and again, says so once.
      if (!type && $$("#toasts .toast__text").some((other) => other.textContent === text)) return;
      const act = () => {
        if (!elt.isConnected) { location.reload(); return; }
        elt.focus();
        window.htmx.trigger(elt, ["submit", "tokens-changed"].includes(type) ? type : "click");
      };
      showToast(text, { warns: true, label: "Try again", act });
    });
  }

  // The list: a live count, one box for all rows, and what a filter or a search has found.
  const picks = (form) => $$("tbody [name=id]", form);
  function showSelection(form) {
    const boxes = picks(form);
    const picked = boxes.filter((box) => box.checked).length;
    const all = $("[data-select-all]", form);
    all.hidden = boxes.length === 0;
    all.checked = picked > 0 && picked === boxes.length;
    all.indeterminate = picked > 0 && picked < boxes.length;
    $("[data-selection-count]", form).textContent = picked;
    return `${picked} selected`;
  }
  const showSelections = () => $$("[data-selection]").forEach(showSelection);
  showSelections();
  on("htmx:load", showSelections);
  // The browser puts the boxes of a page that comes back as they were left.
  window.addEventListener("pageshow", showSelections);
  on("change", (event) => {
    const form = event.target.closest("[data-selection]");
    if (!form) return;
    if ("selectAll" in event.target.dataset) for (const box of picks(form)) box.checked = event.target.checked;
    announce(showSelection(form));
  });
  on("reset", (event) => {
    if (!event.target.matches("[data-selection]")) return;
    // The boxes are empty after this event; the bar goes, so focus goes on at the first of them.
    setTimeout(() => {
      announce(showSelection(event.target));
      picks(event.target)[0]?.focus();
    });
  });
  on("htmx:afterSettle", (event) => {
    const { elt, requestConfig } = event.detail;
    if (requestConfig?.verb !== "get" || requestConfig.triggeringEvent?.type === "tokens-changed") return;
    const list = document.getElementById("_token_list");
    if (list?.dataset.matches && (elt === list || list.contains(elt))) setTimeout(() => announce(list.dataset.matches), 400);
  });
  // A pasted token is stopped here already, so that it never becomes part of an address.
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-search]")) return;
    const field = $("[type=search]", event.target);
    if (!/sk_pat_[0-9a-f]{8}/i.test(field.value.normalize("NFKC"))) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const fault = $(".err", event.target);
    field.value = "";
    field.setAttribute("aria-invalid", "true");
    fault.hidden = false;
    field.focus();
    announce(fault.textContent.trim());
  }, true);
  // A menu closes behind the dialog it has opened, and then has the focus to give back.
  on("htmx:beforeRequest", (event) => {
    const menu = event.detail.elt.closest?.("[data-menu]");
    if (!menu) return;
    menu.open = false;
    openerId = $("summary", menu).id || openerId;
  });
})();
