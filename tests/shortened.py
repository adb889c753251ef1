"""Examples of the documentation with less training, so that tests can run them."""

import re

FEW_STEPS = 16_384


def with_fewer_steps(text: str) -> str:
    return re.sub(r"(total_timesteps[=:] ?)[\d_]+", rf"\g<1>{FEW_STEPS}", text)
