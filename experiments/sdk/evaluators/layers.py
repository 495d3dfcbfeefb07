"""Settings of one evaluator from several sources, for older code that keeps them apart."""

from dataclasses import dataclass, field, fields
from typing import Any

from experiments.sdk.evaluators.settings import EvalSettings


def _no_settings() -> EvalSettings:
    return EvalSettings(name="")


@dataclass
class EvaluatorSettings:
    """Settings of one evaluator by where they come from; later sources win, explicit ones replace all."""

    name: str
    default_settings: EvalSettings = field(default_factory=_no_settings)
    default_kwargs: dict[str, Any] = field(default_factory=dict)
    defaults_yaml_settings: EvalSettings = field(default_factory=_no_settings)
    defaults_yaml_kwargs: dict[str, Any] = field(default_factory=dict)
    init_settings: EvalSettings = field(default_factory=_no_settings)
    init_kwargs: dict[str, Any] = field(default_factory=dict)
    config_settings: EvalSettings = field(default_factory=_no_settings)
    config_kwargs: dict[str, Any] = field(default_factory=dict)
    deco_settings: EvalSettings = field(default_factory=_no_settings)
    deco_kwargs: dict[str, Any] = field(default_factory=dict)
    explicit_settings: EvalSettings | None = None
    explicit_kwargs: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, EvalSettings) and not value.name:
                value.name = self.name
        defaults = EvalSettings(name=self.name, weight=1.0, asserts=False)
        defaults.update(self.default_settings)
        self.default_settings = defaults

    def resolve_settings(self, settings: EvalSettings | None = None) -> EvalSettings:
        """The settings in force: defaults, file, constructor, configuration, decorator, then `settings`."""
        if self.explicit_settings is not None:
            return self.explicit_settings
        final = self.default_settings.copy()
        for source in (
            self.defaults_yaml_settings,
            self.init_settings,
            self.config_settings,
            self.deco_settings,
            settings,
        ):
            final.update(source)
        return final

    def resolve_kwargs(self, kwargs: dict[str, Any] | None = None) -> dict[str, Any]:
        """The keyword arguments in force, in the same order of sources."""
        return self.explicit_kwargs or {
            **self.default_kwargs,
            **self.defaults_yaml_kwargs,
            **self.init_kwargs,
            **self.config_kwargs,
            **self.deco_kwargs,
            **(kwargs or {}),
        }
