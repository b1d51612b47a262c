"""Directives in a prompt, with which a demo or a test chooses how its job goes.

====================  ==================================================================
In the prompt         What happens to the job
====================  ==================================================================
``[fail: some text]``  ends FAILED with that text, credits are given back
``[cancel]``           ends CANCELLED, credits are given back
``[stuck]``            stays PROCESSING for ever
``[takes: 12]``        takes 12 seconds instead of the sandbox's latency
``[images: 4]``        makes 4 images whatever the request says, 10 at most
====================  ==================================================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_DIRECTIVE = re.compile(
    r"\[\s*(fail|cancel|stuck|takes|images)\s*(?::\s*([^\]]*?)\s*)?\]", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class PromptDirectives:
    """What a prompt asks of its job.

    :param failure: the error to end FAILED with.
    :param cancelled: whether to end CANCELLED.
    :param stuck: whether never to end.
    :param takes: seconds from acceptance to the end.
    :param images: how many images to make, 1-10; None for as many as the request says.
    """

    failure: str | None = None
    cancelled: bool = False
    stuck: bool = False
    takes: float | None = None
    images: int | None = None

    @classmethod
    def of(cls, prompt: str) -> PromptDirectives:
        """Read the directives of `prompt`.

        The last of a kind counts; a number that can't be read or is out of range is ignored.
        """
        found = {match[1].lower(): match[2] or "" for match in _DIRECTIVE.finditer(prompt)}
        takes, images = found.get("takes", ""), found.get("images", "")
        return cls(
            failure=(found["fail"] or "Generation failed") if "fail" in found else None,
            cancelled="cancel" in found,
            stuck="stuck" in found,
            takes=float(takes) if re.fullmatch(r"\d+(\.\d+)?", takes) else None,
            images=int(images) if re.fullmatch("[1-9]|10", images) else None,
        )


def without_directives(prompt: str) -> str:
    """Return `prompt` without the bracketed directives."""
    return " ".join(_DIRECTIVE.sub(" ", prompt).split())
