"""What can go wrong between a request and its pictures: each fault is put where it would really happen."""

from tests.generation.faults import answers, configurations, pictures, policies, records, weights
from tests.generation.faults.site import FAULTS, Fault, Site

__all__ = ["FAULTS", "Fault", "Site", "answers", "configurations", "pictures", "policies", "records", "weights"]
