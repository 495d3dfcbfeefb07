"""Configuration of the console's theme. Functions are named by text, so that only the web process imports them."""

from typing import Any

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "hhweb",
    "SITE_HEADER": "hhweb",
    "SITE_SUBHEADER": "Evaluation platform",
    "SITE_SYMBOL": "experiment",
    "SITE_URL": None,
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "ENVIRONMENT": "hhweb.console.environment_label",
    # The theme writes no style element of its own: the policy forbids it. The variables stand in console.css.
    "GLOBAL_CALLBACK": "hhweb.console.theme_context",
    "STYLES": ["hhweb.console.stylesheet", "hhweb.console.ab_stylesheet"],
    "SCRIPTS": [
        "hhweb.console.shim_script",
        "hhweb.console.console_script",
        "hhweb.console.live_script",
        "hhweb.console.judging_script",
    ],
    "COMMAND": {"search_models": False, "show_history": False, "search_callback": "hhweb.console.search"},
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "show_all_applications": False,
        "navigation": "hhweb.console.navigation",
    },
}
