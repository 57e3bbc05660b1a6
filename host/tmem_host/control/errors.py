# SPDX-License-Identifier: GPL-2.0-or-later
"""What can go wrong between a tool and the service. Each message is one sentence for people."""


class ControlError(Exception):
    """The conversation with the service failed."""


class NoService(ControlError):
    """Nobody listens at the control socket, or it may not be used."""


class CallRefused(ControlError):
    """The service did not do what it was asked; `code` says which kind of refusal it is.

    Codes: "usage" (a wrong method, argument or value), "unknown" (no such client), "state" (not
    as things are), "failed" (everything else).
    """

    def __init__(self, message: str, code: str = "failed") -> None:
        super().__init__(message)
        self.code = code
