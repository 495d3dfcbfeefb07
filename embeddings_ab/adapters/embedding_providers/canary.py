"""Twenty fixed texts whose vectors show whether the model behind a name is still the same one."""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: Never edit: fingerprints of earlier days stand on these very bytes.
CANARY_TEXTS: tuple[str, ...] = (
    "The boundary layer on the wing separates behind the shock.",
    "How do I reset a password that I have forgotten?",
    "Refunds are paid within fourteen days of the return.",
    "def mean(values): return sum(values) / len(values)",
    "SELECT name FROM customers WHERE city = 'Lisbon' ORDER BY name;",
    "Patients with type 2 diabetes were followed for five years.",
    "Der Zug nach Hamburg fährt heute von Gleis sieben ab.",
    "El contrato entra en vigor el primero de enero.",
    "La recette demande trois œufs et deux cents grammes de farine.",
    "東京は日本の首都です。",
    "Error 404: the page that you asked for does not exist.",
    "The central bank left its interest rate unchanged at 3.25 %.",
    "Water boils at a lower temperature on a high mountain.",
    "A triangle with sides 3, 4 and 5 has a right angle.",
    "Whose umbrella is this, and why is it wet?",
    "Install the package, then restart the service.",
    "The museum is closed on Mondays except on public holidays.",
    "warning",
    "x = (-b ± √(b² − 4ac)) / 2a",
    "The defendant appealed against the judgment, and the court of appeal, having heard both parties on the question "
    "of limitation, remitted the case to the lower court for a new decision on the amount of the damages.",
)

#: Below this cosine between old and new vector of any canary text, the model has changed.
DRIFT_LIMIT = 0.9999


def fingerprint(vectors: "npt.NDArray[np.float32]") -> str:
    """SHA-256 over shape and vectors rounded to 4 decimals: a label to read, not a test (use `drift` for that)."""
    import numpy as np

    rounded = np.round(np.asarray(vectors, dtype=np.float64), 4) + 0.0  # + 0.0 makes -0.0 and 0.0 the same bytes
    return hashlib.sha256(repr(rounded.shape).encode() + rounded.astype("<f8").tobytes()).hexdigest()


def drift(old: "npt.NDArray[np.float32]", new: "npt.NDArray[np.float32]") -> float:
    """The least cosine between the old and the new vector of a text; -1.0 where count or dimensions differ.

    A zero vector on either side counts as cosine -1.0 unless both are zero.
    """
    import numpy as np

    if old.shape != new.shape or old.ndim != 2 or not len(old):
        return -1.0
    first, second = np.asarray(old, dtype=np.float64), np.asarray(new, dtype=np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    both_zero = ~first.any(axis=1) & ~second.any(axis=1)
    cosines = np.full(len(first), -1.0)
    np.divide((first * second).sum(axis=1), lengths, out=cosines, where=lengths > 0)
    cosines[both_zero] = 1.0
    least = float(cosines.min())
    return least if least == least else -1.0


def has_drifted(old: "npt.NDArray[np.float32]", new: "npt.NDArray[np.float32]") -> bool:
    """Whether another model answers under the same name."""
    return drift(old, new) < DRIFT_LIMIT
