/* Makes the theme work with Alpine's CSP build: the expressions that build cannot parse become components. */
(() => {
  "use strict";
  if (window.htmx) {
    // htmx would write a style element and evaluate strings; the policy forbids both.
    window.htmx.config.includeIndicatorStyles = false;
    window.htmx.config.allowEval = false;
  }
  const firstTab = (text) => (/activeTab:\s*'([^']*)'/.exec(text || "") || ["", ""])[1];
  document.addEventListener("alpine:init", () => {
    const body = document.body;
    const tab = firstTab(body.getAttribute("x-data"));
    body.setAttribute("x-data", "frame");
    body.removeAttribute("x-init");
    const replace = (attribute, contains, expression) => {
      for (const element of document.querySelectorAll("*")) {
        const value = element.getAttribute(attribute);
        if (value && value.includes(contains)) element.setAttribute(attribute, expression);
      }
    };
    replace("x-on:click", "localStorage.setItem('sidebarDesktopOpen'", "sidebarDesktopOpen = !sidebarDesktopOpen");
    replace("x-on:keydown.enter.prevent", "metaKey", "chooseByEnter($event)");
    replace("x-on:keydown.escape.prevent", "$refs.searchInput.value", "leaveSearch()");
    replace("x-bind:action", "window.location", "formAction()");
    for (const element of document.querySelectorAll("[x-sort\\:config]")) {
      element.setAttribute("x-sort:config", "sortSettings()");
    }
    const Alpine = window.Alpine;
    Alpine.data("theme", window.theme);
    Alpine.data("searchForm", window.searchForm);
    Alpine.data("searchDropdown", () => ({
      ...window.searchDropdown(),
      leaveSearch() {
        this.openSearchResults = false;
        if (this.$refs.searchInput.value === "") this.$refs.searchInput.blur();
        else this.$refs.searchInput.value = "";
      },
    }));
    Alpine.data("searchCommand", () => ({
      ...window.searchCommand(),
      chooseByEnter(event) {
        if (!event.metaKey && !event.ctrlKey && this.currentIndex > 0) this.selectItem(false, false);
      },
    }));
    Alpine.data("frame", () => ({
      activeTab: tab,
      sidebarMobileOpen: false,
      sidebarDesktopOpen: localStorage.getItem("sidebarDesktopOpen") !== "0",
      init() {
        if (tab && window.getCurrentTab) this.activeTab = window.getCurrentTab() || tab;
        this.$watch("sidebarDesktopOpen", (open) => localStorage.setItem("sidebarDesktopOpen", open ? "1" : "0"));
      },
      formAction() {
        const here = window.location.pathname + window.location.search;
        return this.activeTab && this.activeTab !== "general" ? `${here}#${this.activeTab}` : here;
      },
      sortSettings() {
        return { preventOnFilter: false, filter: ".template" };
      },
    }));
  });
})();
