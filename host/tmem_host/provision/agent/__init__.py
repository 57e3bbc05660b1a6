# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's side of the agent in a guest."""

from tmem_host.provision.agent.agent import Agent
from tmem_host.provision.agent.errors import (
    AgentError,
    AgentLost,
    AgentMisbehaved,
    AgentUnreachable,
    GuestRefused,
    OutputTooLong,
)
from tmem_host.provision.agent.results import Counters, ExecResult, FileInfo, GuestInfo

__all__ = [
    "Agent",
    "AgentError",
    "AgentLost",
    "AgentMisbehaved",
    "AgentUnreachable",
    "Counters",
    "ExecResult",
    "FileInfo",
    "GuestInfo",
    "GuestRefused",
    "OutputTooLong",
]
