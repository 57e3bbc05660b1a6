# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes wrong between the host and the agent in a guest."""

from tmem_host.provision.errors import ProvisionError


class AgentError(ProvisionError):
    """A request to a guest's agent failed."""


class AgentUnreachable(AgentError):
    """No agent answers: the request was not begun."""


class AgentLost(AgentError):
    """The guest or its agent went away, or fell silent, before it answered.

    What the request did until then, and whether it did all of it, is not known.
    """


class AgentMisbehaved(AgentError):
    """The guest does not keep to the protocol."""


class OutputTooLong(AgentError):
    """A command said, or a file held, more than the caller wants to keep in memory."""


class GuestRefused(AgentError):
    """The guest could not do it, and says why.

    `kind` is "os", "bad-request" or "unkillable"; `errno_name` is such as "ENOENT", for "os".
    """

    def __init__(self, message: str, *, kind: str, errno_name: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.errno_name = errno_name
