/* Judging by keyboard, the next document in place. Without it every button is a plain form's. */
(() => {
  "use strict";
  const OFF = "hh-judging-keys-off";
  const start = (section) => {
    const said = document.querySelector("[data-judging-said]");
    let busy = false;
    const off = () => localStorage.getItem(OFF) === "1";
    const dress = () => {
      const button = section.querySelector("[data-judging-keys]");
      if (!button) return;
      button.hidden = false;
      button.textContent = off() ? "Turn keys on" : "Turn keys off";
    };
    const send = async (form, button) => {
      if (busy) return;
      busy = true;
      const body = new FormData(form);
      if (button && button.name) body.append(button.name, button.value);
      const isOpen = section.querySelector("[data-judging-help]")?.open;
      try {
        const answer = await fetch(form.action, { method: "POST", body, headers: { "X-Part": "1" }, credentials: "same-origin" });
        const part = await answer.text();
        if (answer.redirected || !part.includes("hh-meta")) throw new Error(String(answer.status));
        section.innerHTML = part;
        const help = section.querySelector("[data-judging-help]");
        if (help) help.open = Boolean(isOpen);
        dress();
        said.textContent = section.querySelector("[data-said]")?.textContent || "";
        said.className = "sr-only";
        section.querySelector("article")?.focus({ preventScroll: true });
        scrollTo({ top: 0 });
      } catch {
        said.className = "hh-banner hh-banner-failed";
        said.textContent = "Not saved: the server did not answer. The document is still here; press the key again.";
      }
      busy = false;
    };
    section.addEventListener("submit", (event) => {
      event.preventDefault();
      send(event.target, event.submitter);
    });
    section.addEventListener("click", (event) => {
      if (!event.target.closest("[data-judging-keys]")) return;
      localStorage.setItem(OFF, off() ? "0" : "1");
      dress();
    });
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || off()) return;
      if (event.target.closest("input, textarea, select, [contenteditable]")) return;
      if (event.key === "?") {
        const help = section.querySelector("[data-judging-help]");
        if (help) help.open = !help.open;
        return;
      }
      const which = /^[0-9]$/.test(event.key) ? `[name=grade][value="${event.key}"]` : { s: '[value="skip"]', u: '[value="undo"]' }[event.key];
      const button = which && section.querySelector(`button${which}`);
      if (!button) return;
      event.preventDefault();
      send(button.form, button);
    });
    dress();
  };
  const ready = () => document.querySelectorAll("[data-judging]").forEach(start);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", ready);
  else ready();
})();
