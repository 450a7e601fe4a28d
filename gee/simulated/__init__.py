"""The simulated Earth: deterministic in (landscape, place, date, seed). A test bench with known
truth, never evidence.
"""

from gee.simulated.fingerprint import fingerprint
from gee.simulated.landscapes import LANDSCAPES
from gee.simulated.source import SimulatedSource

__all__ = ["LANDSCAPES", "SimulatedSource", "fingerprint"]
