"""Every error that `training.federated` raises beside those of training, in one tree.

::

    TrainingError
    └── FederationError                exit 1    a federated training that cannot start or go on
        ├── ContributionRefused        exit 1    something a contributor sent is wrong; it is named
        ├── ContributorLost            exit 1    a contributor went away; it is named
        ├── ServerRefused              exit 1    something the server sent is wrong, or it refused this contributor
        ├── FederationUnavailable      exit 3    the server cannot be reached or went away, or Flower is not installed
        └── FederationInterrupted      exit 130  stopped by Ctrl-C
"""

from __future__ import annotations

from training.errors import TrainingError


class FederationError(TrainingError):
    """A federated training that cannot start or go on."""


class ContributionRefused(FederationError):
    """Something that a contributor sent is wrong; the contributor is named."""


class ContributorLost(FederationError):
    """A contributor went away before its part was done; it is named."""


class ServerRefused(FederationError):
    """Something that the server sent is wrong, or the server refused this contributor."""


class FederationUnavailable(FederationError):
    """The server cannot be reached or went away, or Flower is not installed."""

    exit_code = 3


class FederationInterrupted(FederationError):
    """Stopped by Ctrl-C."""

    exit_code = 130
