"""Who calls: resolved once at the edge, passed to every service."""

from dataclasses import dataclass
from typing import Literal

from governance.domain.actions import Action
from governance.domain.errors import Forbidden


@dataclass(frozen=True, slots=True)
class Caller:
    """One actor inside one project. `project_id` is the primary key, `project_public_id` what the wire shows."""

    project_id: int
    project_public_id: str
    project_name: str
    actor_kind: Literal["api_key", "user", "system"]
    actor_id: str
    actor_label: str
    allowed: frozenset[Action]
    request_id: str = ""
    address: str = ""
    key_id: int | None = None
    key_kind: str = ""

    @property
    def is_authenticated(self) -> bool:
        """DRF's permission classes ask this."""
        return True

    def may(self, action: Action) -> bool:
        """Whether the caller has the right."""
        return action in self.allowed

    def require(self, action: Action) -> None:
        """Raise `Forbidden` unless the caller has the right."""
        if action not in self.allowed:
            raise Forbidden(
                f"{self.actor_label} may not do {action.value!r} in project {self.project_name!r}. "
                "Ask an owner for a role or a key that includes it.",
                action=action.value,
            )


@dataclass(frozen=True, slots=True)
class Operator:
    """A superuser acting on the installation itself, outside any project; audited in the installation's chain."""

    actor_id: str
    actor_label: str
    request_id: str = ""
    address: str = ""
    actor_kind: Literal["user"] = "user"
