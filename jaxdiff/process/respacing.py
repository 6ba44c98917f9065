"""Fewer steps through a trained chain: which of its steps are kept, and the betas of the chain that they form."""

from collections.abc import Sequence

import numpy as np

from jaxdiff.process.betas import Betas, check


def space(num_steps: int, sections: str | Sequence[int]) -> list[int]:
    """Choose the steps to keep, in increasing order.

    Args:
      num_steps: T of the trained chain.
      sections: "50" or [50] keeps 50 evenly spaced steps with both ends; "10,15,20" splits the chain into equal
        sections and keeps so many of each; "ddim50" keeps every k-th step from 0 on, for the smallest k that gives 50.
    Returns: steps in 0 .. T-1, as the published code chooses them: the highest is T-1 only where the last section keeps
      two steps or more, which `respace` asks for; `evenly` always ends there.
    Raises: ValueError when a section is shorter than its count, or no whole stride gives the steps of "ddimN".
    Reference: Nichol & Dhariwal 2021, section 4, and Song et al. 2021 (DDIM), Appendix D.2; in their released code
      positions are rounded half to even.
    Example:
      >>> space(10, "3,2"), space(20, "ddim4")
      ([0, 2, 4, 5, 9], [0, 5, 10, 15])
    """
    if isinstance(sections, str) and sections.startswith("ddim"):
        return _strided(num_steps, sections)
    try:
        counts = [int(part) for part in sections.split(",")] if isinstance(sections, str) else list(sections)
    except ValueError:
        raise ValueError(f"sections must be counts such as '10,15,20' or 'ddim50', got {sections!r}") from None
    if not counts or min(counts) < 0 or not any(counts):
        raise ValueError(f"sections must keep at least one step, got {sections!r}")
    size, longer = divmod(num_steps, len(counts))
    start, kept = 0, []
    for index, count in enumerate(counts):
        length = size + (index < longer)
        if count > length:
            raise ValueError(f"cannot keep {count} of the {length} steps in section {index} of {num_steps} steps")
        stride = (length - 1) / (count - 1) if count > 1 else 1.0
        # The stride is added up, not multiplied: published samples rest on its rounding.
        position = 0.0
        for _ in range(count):
            kept.append(start + round(position))
            position += stride
        start += length
    return kept


def evenly(num_steps: int, count: int) -> list[int]:
    """Space the steps to sample with evenly: `count` of T, from the noisiest on. One step is T-1 itself.

    Args:
      num_steps: T of the trained chain; count: 1 .. T.
    Raises: ValueError when count is outside 1 .. T.
    Reference: `space` with one section, but for count = 1, where it keeps the cleanest step.
    Example:
      >>> evenly(10, 1), evenly(10, 3)
      ([9], [0, 4, 9])
    """
    if not 1 <= count <= num_steps:
        raise ValueError(f"num_steps must be 1 to {num_steps}, the length of the chain, got {count}")
    return [num_steps - 1] if count == 1 else space(num_steps, [count])


def respace(betas: Betas, steps: Sequence[int]) -> Betas:
    """Respace a chain: the betas of the one that visits only some of its steps.

    beta = 1 - alpha_bar_t / alpha_bar_{last kept t}

    Its levels are a subset of the other's, so that a network that looks its level up needs no other change.

    Args:
      betas: of the trained chain.
      steps: to keep, increasing, up to the noisiest, T-1, or less than their widest stride below it, as "ddimN" ends.
    Raises: ValueError when the steps do not increase, leave 0 .. T-1, or end lower: a chain that starts with less noise
      than it was trained on has the prior of another.
    Reference: Nichol & Dhariwal 2021, Eq. 19.
    Example:
      >>> respace(np.array([0.5, 0.5, 0.5]), [0, 2]).tolist()
      [0.5, 0.75]
    """
    betas, kept = check(betas), np.asarray(steps, int)
    if not kept.size or kept[0] < 0 or kept[-1] >= betas.size or np.any(np.diff(kept) <= 0):
        raise ValueError(f"steps must increase within 0 to {betas.size - 1}, got {list(steps)}")
    last = betas.size - 1
    if last - kept[-1] >= max(np.diff(kept), default=1):
        raise ValueError(
            f"steps must start at the noisiest level, step {last} or a stride below: the highest is {kept[-1]}; "
            "respacing.evenly does for any number of steps"
        )
    alpha_bar = np.cumprod(1 - betas)[kept]
    return check(1 - alpha_bar / np.append(1.0, alpha_bar[:-1]))


def _strided(num_steps: int, sections: str) -> list[int]:
    number = sections.removeprefix("ddim")
    count = int(number) if number.isdigit() else 0
    for stride in range(1, num_steps):
        if len(range(0, num_steps, stride)) == count:
            return list(range(0, num_steps, stride))
    raise ValueError(f"no whole stride through {num_steps} steps keeps the steps of {sections!r}")
