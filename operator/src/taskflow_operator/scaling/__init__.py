"""How many workers a flow should have: values in, a decision with its reason out.

Nothing here knows the clock, a client or Kopf. What has to be remembered from one decision to the
next is a value too (`Memory`), handed in and given back.
"""

from taskflow_operator.scaling.decide import decide
from taskflow_operator.scaling.policy import Pace, Policy, policy_of
from taskflow_operator.scaling.values import Bound, Decision, Fleet, Load, Memory, Reason

__all__ = [
    "Bound",
    "Decision",
    "Fleet",
    "Load",
    "Memory",
    "Pace",
    "Policy",
    "Reason",
    "decide",
    "policy_of",
]
