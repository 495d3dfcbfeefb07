"""What a person writes to describe a search over configurations, and the arms it stands for."""

import itertools
from typing import Any

from pydantic import Field, ValidationError, model_validator

from embeddings_ab.domain.spec import ArmSpec, Shape
from governance.domain.errors import InvalidInput

MAX_VARIANTS = 200


class TuningGrid(Shape):
    """Values to try; an empty list keeps the arm's own."""

    alpha: tuple[float, ...] = Field(default=(), max_length=101)
    rrf_k: tuple[int, ...] = Field(default=(), max_length=20)
    depth: tuple[int, ...] = Field(default=(), max_length=20, description="candidates of each side before fusion")
    dimensions: tuple[int, ...] = Field(default=(), max_length=20)
    quantisation: tuple[str, ...] = Field(default=(), max_length=4)


class TuningSpec(Shape):
    """A search over one arm's settings, and over other arms of the same test."""

    arm: str = Field(min_length=1, max_length=64)
    measure: str = ""
    grid: TuningGrid = TuningGrid()
    compare_arms: tuple[str, ...] = Field(default=(), max_length=32)
    folds: int = Field(default=5, ge=2, le=20)
    repeats: int = Field(default=5, ge=1, le=50)
    seed: int = Field(default=20_260_101, ge=0, lt=2**53)

    @model_validator(mode="after")
    def _fits(self) -> "TuningSpec":
        if self.grid == TuningGrid() and not self.compare_arms:
            raise ValueError("grid and compare_arms are both empty: there is nothing to choose from")
        return self


def variants_of(spec: TuningSpec, arm: ArmSpec) -> dict[str, ArmSpec]:
    """Every combination by a name that says what differs. Raises InvalidInput for one that contradicts itself."""
    axes = [(name, values) for name, values in spec.grid.model_dump().items() if values]
    found: dict[str, ArmSpec] = {}
    for combination in itertools.product(*(values for _, values in axes)):
        chosen = dict(zip((name for name, _ in axes), combination, strict=True))
        name = ", ".join(f"{axis} {value:g}" if not isinstance(value, str) else value for axis, value in chosen.items())
        if len(found) >= MAX_VARIANTS:
            raise InvalidInput(
                f"Field 'grid' makes more than {MAX_VARIANTS} combinations; leave some values out.", field="grid"
            )
        try:
            found[name or "as it is"] = ArmSpec.model_validate(_changed(arm, chosen))
        except (ValidationError, ValueError) as error:
            raise InvalidInput(
                f"Field 'grid': {name} does not fit arm {spec.arm!r}: {_first(error)}", field="grid", value=name
            ) from None
    return found


def _first(error: Exception) -> str:
    return str(error.errors()[0]["msg"]) if isinstance(error, ValidationError) else str(error)


def _changed(arm: ArmSpec, chosen: dict[str, Any]) -> dict[str, Any]:
    # Fields that the arm left at their defaults stay out: a shape checks which fields were given.
    written: dict[str, Any] = arm.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    if chosen.keys() & {"alpha", "rrf_k", "depth"}:
        if arm.fusion is None:
            raise ValueError("alpha, rrf_k and depth belong to an arm with fusion")
        if {"alpha", "rrf_k"} <= chosen.keys():
            raise ValueError("alpha is of convex fusion, rrf_k of reciprocal ranks; search them one after the other")
        if "alpha" in chosen:
            fusion: dict[str, Any] = {"method": "convex", "alpha": chosen["alpha"]}
        elif "rrf_k" in chosen:
            fusion = {"method": "rrf", "k": chosen["rrf_k"]}
        else:
            fusion = {"method": arm.fusion.method}
            fusion |= {"alpha": arm.fusion.alpha} if arm.fusion.method == "convex" else {"k": arm.fusion.k}
        depth = chosen.get("depth", arm.fusion.depth)
        written["fusion"] = fusion | ({"depth": depth} if depth else {})
    if "dimensions" in chosen:
        if arm.provider not in ("minilm", "wordllama"):
            raise ValueError(f"dimensions: provider {arm.provider!r} makes its dimensions itself; use arms for that")
        written["dimensions"] = chosen["dimensions"]
    if "quantisation" in chosen:
        written["quantisation"] = chosen["quantisation"]
    return written
